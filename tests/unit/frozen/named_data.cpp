// Variables with locks inside, for the tests that name them.
#include "tests/unit/frozen/evidence.hpp"

static std::mutex lonely_lock;

namespace table {

Reader reader;
const volatile Derived derived{};
Shard shards[4];
Pool pool;
pthread_mutex_t grid[2][3];
char buffer[64];

std::mutex& file_static() { return lonely_lock; }
std::mutex& function_static() {
  static std::mutex local_lock;
  return local_lock;
}

}  // namespace table
