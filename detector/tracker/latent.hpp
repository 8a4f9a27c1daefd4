// Latent deadlocks: a forked child got a lock that a lost thread might as well have had.
//
// Asked after a lock was taken in a child that lost threads. Written once per lock and place in a
// whole session, and counted after that: the children of a server all do the same.
// Async-signal-safe; safe in a forked child.
#pragma once

#include <cstdint>

#include "detector/tracker/process.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// Locks of which note_taken_in_child() has nothing more to say in this process: no lost thread has
/// used the lock, or it has been told of. Neither changes before the next fork, for lost threads use
/// nothing any more, and another lock at the same address is none of theirs. Hence nothing is ever
/// taken out; an entry carries its generation, and one that displaces another costs one more question.
inline constexpr std::uint32_t kAsked = 512;
extern std::atomic<std::uintptr_t> asked[kAsked];

/// All of an entry in one word, as threads write them side by side. All mutexes are of one type here.
[[gnu::always_inline]] inline std::uintptr_t asked_word(const void* lock, record::LockType type,
                                                        std::uint8_t flags) {
  return reinterpret_cast<std::uintptr_t>(lock) | std::uintptr_t{(flags & record::kLockReader) != 0} |
         std::uintptr_t(type) << 48 | std::uintptr_t{process.generation} << 53;
}
[[gnu::always_inline]] inline std::atomic<std::uintptr_t>& asked_place(std::uintptr_t word) {
  return asked[word * 0x9e3779b97f4a7c15u >> 55];
}
[[gnu::always_inline]] inline bool asked_about(const void* lock, record::LockType type,
                                               std::uint8_t flags) {
  const std::uintptr_t word = asked_word(lock, type, flags);
  return asked_place(word).load(std::memory_order_relaxed) == word;
}

/// The calling thread has taken `lock` (`flags` kLockReader: for reading).
void note_taken_in_child(ThreadRecord& thread, const void* lock, record::LockType type,
                         std::uint8_t flags, record::Call call, const void* return_address);

}  // namespace forkscope
