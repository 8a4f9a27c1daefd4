#define CHAIN chain_o2
#include "tests/unit/frozen/chain.inc"
