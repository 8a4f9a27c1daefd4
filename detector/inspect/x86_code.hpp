// What single instructions of x86-64 do, as far as a loop that only waits has to be told from one
// that works: which registers they read and write, whether memory is written, where they lead.
// Everything that is not known counts as work. Pure functions; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace forkscope::x86 {

using Registers = std::uint32_t;  ///< bit n: general register n, as encoded
constexpr unsigned kAx = 0, kSp = 4, kBp = 5;
/// Those that a called function may change.
constexpr Registers kCallerSaved = 0x0fc7;

enum class Does {
  kMoves,      ///< the same each time, if what it reads is: loads, moves, constants, no-ops
  kCompares,   ///< sets flags only
  kTries,      ///< an atomic exchange in memory, which changes nothing while a lock is taken
  kComputes,   ///< registers get values that may be others each time
  kStores,     ///< writes memory
  kJumps,      ///< to `place`
  kBranches,   ///< to `place`, or goes on
  kCalls,      ///< the function at `place`
  kCallsBy,    ///< the function whose address is at `place`
  kJumpsBy,    ///< the same, and does not come back
  kReturns,
  kUnknown,    ///< calls and jumps by registers, system calls, traps
};

struct Instruction {
  Does does = Does::kUnknown;
  std::uint8_t length = 0;
  Registers reads = 0, writes = 0;
  bool sets_flags = false;
  bool memory = false;        ///< has an operand in memory
  bool plain_store = false;   ///< of kStores: what is written is a register or a constant
  bool of_thread = false;     ///< ... relative to fs or gs
  bool by_ip = false;         ///< ... at `place`
  Registers base = 0;         ///< ... made of these registers
  std::int32_t displacement = 0;
  /// From the end of the instruction: of its operand, or where it leads.
  std::int64_t place = 0;
};

/// The instruction that begins there; nothing when it is none, or not to its end.
std::optional<Instruction> decode(std::span<const std::byte> code);

}  // namespace forkscope::x86
