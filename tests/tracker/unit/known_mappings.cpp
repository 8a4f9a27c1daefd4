// Sanitizers follow memory through libc's mmap and munmap, not through system calls: what one
// thread unmapped and another got anew would look to them like memory that both use. So where the
// tracker maps and unmaps, this program (by the linker's --wrap) goes through libc.
#include <sys/mman.h>

#include <cstddef>

extern "C" {

/// sys::map_private(std::size_t)
void* __wrap__ZN9forkscope3sys11map_privateEm(std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

/// sys::unmap(void*, std::size_t)
void __wrap__ZN9forkscope3sys5unmapEPvm(void* memory, std::size_t size) { munmap(memory, size); }
}
