// What a release build without -g leaves: a symbol table.
#include "tests/unit/frozen/evidence.hpp"

namespace plain {

pthread_mutex_t locks[3];

[[gnu::noinline]] int work(int rows) {
  asm volatile("" ::: "memory");
  return rows * 3;
}

}  // namespace plain
