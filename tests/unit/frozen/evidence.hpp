// Real evidence for unwinding and naming: a chain of calls runs in a thread, registers and a slice
// of its stack are kept where the innermost function takes the lock, the calls return,
// their frames are overwritten, and the rest of the stack is copied as a fork would freeze it.
// The chain is compiled several times (chain.inc), the variables once (named_data.cpp).
#pragma once

#include <array>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "detector/record/session.hpp"

namespace frozen {

struct Shot {
  forkscope::record::Registers registers{};
  forkscope::MemoryBytes slice;   ///< what the acquire saved
  forkscope::MemoryBytes frozen;  ///< the same stretch of stack and all above it, later
  int rows = 0;                   ///< what the chain computed
  int acquire_line = 0;           ///< of the call that takes the lock, in read_row_group
  int decode_line = 0;            ///< of the call inside the inlined decode
  int parquet_line = 0;           ///< of the inlined call in read_parquet
};

/// Bytes of stack keep_slice() saves: less than the frames of the chain above read_parquet.
inline constexpr std::size_t kSliceSize = 2048;

/// What the lock wrapper keeps of its caller: the registers as they are when it returns ...
void keep_registers(forkscope::record::Registers* registers);
/// ... and the innermost stack.
void keep_slice(Shot& shot);
/// Overwrites the stack below the caller.
void overwrite_stack();
/// Copies the stack from where the registers were kept up to its top.
void freeze(Shot& shot);

}  // namespace frozen

namespace chain_o0 {
void reader(frozen::Shot& shot);
}
namespace chain_o2 {
void reader(frozen::Shot& shot);
}
namespace chain_frame_pointer {
void reader(frozen::Shot& shot);
}
namespace chain_debug_frame {
void reader(frozen::Shot& shot);
}

/// Compiled without debug information.
namespace plain {
int work(int rows);
extern pthread_mutex_t locks[3];
}  // namespace plain

namespace table {

struct Empty {};
struct Shard {
  long rows;
  std::mutex lock;
};
struct Reader {
  int id;
  std::mutex file_lock;
  pthread_mutex_t raw;
  struct {
    int depth;
    std::recursive_mutex order;
  } nested;
};
struct Derived : Empty, Reader {
  std::condition_variable idle;
};
using Pool = std::array<Shard, 3>;

extern Reader reader;
extern const volatile Derived derived;
extern Shard shards[4];
extern Pool pool;
extern pthread_mutex_t grid[2][3];
extern char buffer[64];

std::mutex& file_static();
std::mutex& function_static();

}  // namespace table
