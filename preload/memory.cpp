// madvise: what it tells fork about memory, and which memory is empty from then on. (posix_madvise has no such advice.)
#include <sys/mman.h>

#include "detector/tracker/history.hpp"
#include "detector/tracker/missing_memory.hpp"
#include "preload/real.hpp"

using namespace forkscope;

FORKSCOPE_EXPORT int madvise(void* address, std::size_t length, int advice) noexcept {
  int result = real().madvise(address, length, advice);
  if (result == 0 && advice == MADV_DONTNEED) history::forget_range(address, length);
  if (result == 0 && missing_memory::is_fork_advice(advice)) [[unlikely]]
    missing_memory::note_advice(address, length, advice, __builtin_return_address(0));
  return result;
}
