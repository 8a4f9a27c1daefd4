// Tells valgrind's race checkers, where the program runs under one, to leave memory of this library
// alone: they know no atomics, and what is ours is read and written by several threads at once.
//
// A client request (valgrind.h): seven instructions that do nothing elsewhere. Async-signal-safe.
#pragma once

#include <cstddef>

namespace forkscope::checkers {

inline void request(unsigned long number, const void* memory, std::size_t size) {
  volatile unsigned long arguments[6] = {number, reinterpret_cast<unsigned long>(memory), size,
                                         0,      0,                                       0};
  unsigned long answer = 0;
  asm volatile(
      "rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
      "xchgq %%rbx, %%rbx"
      : "+d"(answer)
      : "a"(&arguments[0])
      : "cc", "memory");
}

/// Not for memory of the program's own.
inline void leave_alone(const void* memory, std::size_t size) {
  request(0x48470127, memory, size);  // helgrind.h: _VG_USERREQ__HG_ARANGE_MAKE_UNTRACKED
  request(0x44520002, memory, size);  // drd.h: VG_USERREQ__DRD_START_SUPPRESSION
}

}  // namespace forkscope::checkers
