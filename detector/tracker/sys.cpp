#include "detector/tracker/sys.hpp"

#include <sys/mman.h>

namespace forkscope::sys {

void* map_private(std::size_t size) {
  long result = call(SYS_mmap, 0, long(size), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

}  // namespace forkscope::sys
