// Where a function's frame lies when its unwind table counts from the frame pointer, whose value
// nobody knows: a thread that is blocked in a system call shows only its stack pointer. x86-64.
// Pure functions on machine code; thread-safe.
//
//   sp ->  | locals, saved registers |   size: what the function's first instructions subtracted
//   bp ->  | caller's bp             |
//          | return address          |   follows a call instruction that leads to this function
//
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace forkscope {

struct FrameSize {
  std::uint64_t size = 0;       ///< bp - sp after the prologue
  std::uint64_t alignment = 1;  ///< up to one less than this may come on top
};

/// From a function's first instructions, up to the first branch after it set its frame pointer.
/// Nothing if it does not, or does so in a way not understood here.
std::optional<FrameSize> frame_size(std::span<const std::byte> code);

/// Whether some instruction in it may move the stack pointer by an amount that depends on data, as
/// alloca does. Errs on the side of yes.
bool moves_stack_by_data(std::span<const std::byte> code);

/// What the instruction there, if it is one, adds to the stack pointer: a caller that removes the
/// arguments it pushed. 0 if it is another.
std::uint64_t arguments_removed(std::span<const std::byte> code);

/// The call instruction that ends where `code` ends.
struct CallBefore {
  enum class Kind {
    kNone,
    kDirect,    ///< `distance` from the return address to the function
    kThrough,   ///< through the pointer at `distance` from the return address
    kComputed,  ///< through a register or memory
  } kind = Kind::kNone;
  std::int32_t distance = 0;
};
CallBefore call_before(std::span<const std::byte> code);

/// Whether `code` is an entry of a procedure linkage table; then the distance from its beginning to
/// the pointer it jumps through.
std::optional<std::int64_t> linkage_slot(std::span<const std::byte> code);

}  // namespace forkscope
