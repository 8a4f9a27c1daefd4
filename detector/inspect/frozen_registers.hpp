// The only place that knows which libunwind register a field of record::Registers is. Another
// architecture adds its mapping here and its fields there. Stateless; thread-safe.
#pragma once

#include <libunwind.h>

#include <optional>

#include "detector/record/record.hpp"

namespace forkscope {

/// Nothing for registers a function may change freely: their values were not kept, and no unwind
/// table needs them at a call.
inline std::optional<std::uint64_t> register_value(const record::Registers& registers,
                                                   unw_regnum_t number) {
#if defined(__x86_64__)
  switch (number) {
    case UNW_X86_64_RIP:
      return registers.pc;
    case UNW_X86_64_RSP:
      return registers.sp;
    case UNW_X86_64_RBP:
      return registers.bp;
    case UNW_X86_64_RBX:
      return registers.bx;
    case UNW_X86_64_R12:
      return registers.r12;
    case UNW_X86_64_R13:
      return registers.r13;
    case UNW_X86_64_R14:
      return registers.r14;
    case UNW_X86_64_R15:
      return registers.r15;
    default:
      return std::nullopt;
  }
#else
#error "record::Registers has no mapping for this architecture yet"
#endif
}

}  // namespace forkscope
