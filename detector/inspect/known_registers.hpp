// What is known of a thread's registers. Plain data.
#pragma once

#include <cstdint>
#include <optional>

namespace forkscope {

/// Of a thread that is blocked and not stopped only pc and sp are known. Those a function may
/// change freely are not kept: no unwind table needs them at a call.
struct KnownRegisters {
  std::uint64_t pc = 0, sp = 0;
  std::optional<std::uint64_t> bp, bx, r12, r13, r14, r15;
};

}  // namespace forkscope
