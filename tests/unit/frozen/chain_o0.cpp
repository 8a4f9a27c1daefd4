#define CHAIN chain_o0
#include "tests/unit/frozen/chain.inc"
