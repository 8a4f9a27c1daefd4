// Return addresses of the calling thread, innermost first.
//
// Boost.Stacktrace's safe_dump_to over the unwinder of libgcc, linked into the library. After one
// warm-up call it neither allocates nor locks: GCC 12 finds unwind tables by the lock-free
// _dl_find_object (glibc 2.35), so it is safe in a forked child and in signal handlers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forkscope {

struct ThreadRecord;

/// Fills `to` with up to N return addresses and gives their number. The first is where the frame of
/// `skip_to` returns: pass __builtin_return_address(0) of the interposer, so that only frames of
/// the program are kept; when it is not found all frames are kept.
std::uint16_t walk_stack(std::uint64_t* to, std::size_t size, const void* skip_to);

/// All return addresses, those of the library among them, as far as `size` goes. Gives their number.
std::size_t whole_stack(std::uint64_t* to, std::size_t size);

/// First use of the unwinder, outside any fork.
void warm_up_stack();

/// Up to where the stack that `sp` points into can be read: of the thread's own a little beyond its
/// first frame, where what starts a thread and its descriptor lie; of another, a coroutine's, to the
/// end of the page.
std::uint64_t readable_stack_end(const ThreadRecord& thread, std::uint64_t sp);

}  // namespace forkscope
