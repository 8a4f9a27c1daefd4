// At-fork handlers of the program: who registered which, and which one the calling thread is in.
//
// libc's handlers take no argument, so each registered triple gets an entry of a fixed table, and
// the preload library gives libc a trampoline of that number in place of the handler
// (preload/atfork.cpp). dlclose() removes the handlers of an object inside libc, past us, so an
// entry may outlive them. It is used again only when the table is full, and only where its object
// is no longer mapped, or where the same functions are registered for the same object once more:
// then the trampoline is right for both.
//
// Lock-free, thread-safe. HandlerCall and live_handler() are async-signal-safe, and safe in a
// forked child; registering is what it is in libc.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

inline constexpr std::uint32_t kHandlerEntries = 256;

struct HandlerEntry {
  std::atomic<std::uint8_t> state;  ///< free, being written, in use
  bool in_object;                   ///< `dso` lay in a loaded object
  std::uint32_t order;              ///< of registration, from 1
  void (*function[record::kHandlerPhases])();
  void* dso;
  std::uint64_t atfork;  ///< offset of its Atfork record
};

/// An entry for these handlers, described in the session; null when there is no room: then it is
/// written down that they are not watched. `prepare` first, null where there is none.
HandlerEntry* add_handlers(void (*const (&functions)[record::kHandlerPhases])(), void* dso,
                           const void* caller);
std::uint32_t index_of(const HandlerEntry& entry);
HandlerEntry& handler_entry(std::uint32_t index);
bool any_handlers();

/// Calls visit(entry) for those in use whose object is still there.
template <typename Visit>
void each_handlers(Visit&& visit);
bool is_in_use(const HandlerEntry& entry);

struct HandlerTrace;

/// A handler while it runs: an object on the stack of its thread, between libc and the handler.
class HandlerCall {
 public:
  HandlerCall(const HandlerEntry& entry, record::HandlerPhase phase);
  /// The handler has returned. Not a destructor: one that longjmp or an exception leaves is over as
  /// well, and live_handler() sees that by the stack.
  void returned();

  const std::uint64_t atfork;
  const record::HandlerPhase phase;
  std::uint32_t run = 0;  ///< index in `trace`
  HandlerTrace* trace =
      nullptr;  ///< null: nothing is written down of this fork, or of a nested one

 private:
  friend HandlerCall* live_handler(ThreadRecord&);
  const HandlerCall* magic_;  ///< this, while it means something
  ThreadRecord* thread_;
  HandlerCall* previous_;
  bool unguard_ = false;
  std::uint64_t begin_ = 0;
};

/// The innermost handler that the calling thread is in, or null.
HandlerCall* live_handler(ThreadRecord& thread);

template <typename Visit>
void each_handlers(Visit&& visit) {
  for (std::uint32_t i = 0; i < kHandlerEntries; ++i)
    if (const HandlerEntry& entry = handler_entry(i); is_in_use(entry)) visit(entry);
}

}  // namespace forkscope
