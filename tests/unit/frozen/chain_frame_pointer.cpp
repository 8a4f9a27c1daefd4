#define CHAIN chain_frame_pointer
#include "tests/unit/frozen/chain.inc"
