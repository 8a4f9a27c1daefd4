// Which of the locks that a thread made a lock is: "born:1.37" is the 37th that the first thread of
// the process initialised. So a lock on the heap that one place takes of many objects, as CPython's
// do, has a name that is the same in the next run, as far as its thread does the same.
//
// Kept only when somebody asks for it (learn=on, or a pattern that begins with "born:"): a table in
// private memory, by address. Lock-free, thread-safe, async-signal-safe, safe in a forked child; when
// it is full, later locks have no name.
#pragma once

#include <cstdint>

namespace forkscope::births {

/// Begins to keep them. Called by the constructor.
void start();

extern bool kept;
void note_slowly(const void* lock);
void forget_slowly(const void* lock);
/// `lock` was initialised by the calling thread.
inline void note(const void* lock) {
  if (kept) [[unlikely]]
    note_slowly(lock);
}
/// It was destroyed.
inline void forget(const void* lock) {
  if (kept) [[unlikely]]
    forget_slowly(lock);
}

struct Birth {
  std::uint32_t thread = 0;  ///< life number of the thread (thread_record.hpp)
  std::uint32_t number = 0;  ///< from 1; 0: not known
};
Birth of(const void* lock);
/// "born:1.37"; false where it is not known.
bool name(const void* lock, char (&into)[48]);

}  // namespace forkscope::births
