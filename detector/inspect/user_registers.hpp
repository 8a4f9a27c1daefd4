// Registers as ptrace(2) and the notes of a core file give them. Pure functions; thread-safe.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "detector/inspect/known_registers.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

#if defined(__x86_64__)

inline KnownRegisters known_registers(const user_regs_struct& r) {
  return {r.rip, r.rsp, r.rbp, r.rbx, r.r12, r.r13, r.r14, r.r15};
}

/// All that code computes with: without instruction pointer, flags, segments.
inline std::vector<std::uint64_t> general_registers(const user_regs_struct& r) {
  return {r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp,
          r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
}

/// Whether it ran 32-bit code: the kernel's selector __USER32_CS.
inline bool is_32_bit(const user_regs_struct& r) { return r.cs == 0x23; }

/// The system call it was stopped in; nothing if it was in its own code, or the call was over. A
/// call that a stop interrupts shows one of the kernel's ERESTART* codes, or EINTR, until the
/// thread goes on (include/linux/errno.h). One that has no result yet shows ENOSYS.
inline std::optional<SystemCall> system_call(const user_regs_struct& r) {
  const auto number = static_cast<long>(r.orig_rax);
  if (number < 0) return std::nullopt;
  const auto result = static_cast<long>(r.rax);
  constexpr long kNoSys = -38, kInterrupted = -4, kRestartSys = -512, kRestartNoIntr = -513,
                 kRestartNoHand = -514, kRestartBlock = -516;
  if (result != kNoSys && result != kInterrupted && result != kRestartSys &&
      result != kRestartNoIntr && result != kRestartNoHand && result != kRestartBlock) {
    return std::nullopt;
  }
  SystemCall call{number, {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}, r.rsp, r.rip};
  return call;
}

#else
#error "the registers of this architecture have no mapping yet"
#endif

}  // namespace forkscope
