#include "tests/unit/frozen/evidence.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstddef>

namespace frozen {
namespace {

using forkscope::record::Registers;
static_assert(offsetof(Registers, pc) == 0 && offsetof(Registers, sp) == 8 &&
              offsetof(Registers, bp) == 16 && offsetof(Registers, bx) == 24);

std::uint64_t stack_top() {
  pthread_attr_t attributes;
  void* low = nullptr;
  std::size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return reinterpret_cast<std::uint64_t>(low) + size;
}

forkscope::MemoryBytes copy(std::uint64_t from, std::uint64_t to) {
  forkscope::MemoryBytes memory;
  memory.address = from;
  memory.bytes.resize(to - from);
  const auto* bytes = reinterpret_cast<const volatile unsigned char*>(from);
  for (std::size_t i = 0; i < memory.bytes.size(); ++i) memory.bytes[i] = std::byte{bytes[i]};
  return memory;
}

}  // namespace

// The assembler is all there is: a prologue would change what is to be kept.
[[gnu::naked, gnu::noinline]] void keep_registers(Registers*) {
#if defined(__x86_64__)
  asm("movq (%rsp), %rax\n\t"
      "movq %rax, 0(%rdi)\n\t"
      "leaq 8(%rsp), %rax\n\t"
      "movq %rax, 8(%rdi)\n\t"
      "movq %rbp, 16(%rdi)\n\t"
      "movq %rbx, 24(%rdi)\n\t"
      "ret");
#else
#error "keep_registers is not written for this architecture yet"
#endif
}

[[gnu::noinline]] void keep_slice(Shot& shot) {
  const std::uint64_t sp = shot.registers.sp;
  shot.slice = copy(sp, std::min(sp + kSliceSize, stack_top()));
}

[[gnu::noinline]] void overwrite_stack() {
  volatile unsigned char bytes[3000];
  for (volatile unsigned char& byte : bytes) byte = 0xa5;
}

[[gnu::noinline]] void freeze(Shot& shot) { shot.frozen = copy(shot.registers.sp, stack_top()); }

}  // namespace frozen
