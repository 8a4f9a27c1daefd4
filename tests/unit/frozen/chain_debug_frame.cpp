#define CHAIN chain_debug_frame
#include "tests/unit/frozen/chain.inc"
