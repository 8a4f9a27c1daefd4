#include "detector/tracker/handlers.hpp"

#include <dlfcn.h>

#include <algorithm>

#include "detector/tracker/handler_trace.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

enum State : std::uint8_t { kFree, kWriting, kInUse };

constinit HandlerEntry entries[kHandlerEntries] = {};
constinit std::atomic<std::uint32_t> last_order{0};
constinit std::atomic<std::uint32_t> in_use{0};

bool in_loaded_object(void* address) {
  dl_find_object found{};
  return address != nullptr && _dl_find_object(address, &found) == 0;
}

/// Unmapped since: libc removed the handlers before that (__cxa_finalize calls
/// __unregister_atfork).
bool is_gone(const HandlerEntry& entry) { return entry.in_object && !in_loaded_object(entry.dso); }

bool is_same(const HandlerEntry& entry, void (*const (&functions)[kHandlerPhases])(), void* dso) {
  return entry.dso == dso && std::equal(functions, functions + kHandlerPhases, entry.function);
}

bool claim(HandlerEntry& entry, std::uint8_t from) {
  return entry.state.compare_exchange_strong(from, kWriting, std::memory_order_acquire);
}

HandlerEntry* find_entry(void (*const (&functions)[kHandlerPhases])(), void* dso) {
  for (HandlerEntry& entry : entries)
    if (entry.state.load(std::memory_order_relaxed) == kFree && claim(entry, kFree)) {
      in_use.fetch_add(1, std::memory_order_relaxed);
      return &entry;
    }
  for (HandlerEntry& entry : entries)
    if (is_in_use(entry) && is_same(entry, functions, dso)) return &entry;
  for (HandlerEntry& entry : entries)
    if (entry.state.load(std::memory_order_acquire) == kInUse && is_gone(entry) &&
        claim(entry, kInUse))
      return &entry;
  return nullptr;
}

std::uint64_t write_atfork(void (*const (&functions)[kHandlerPhases])(), const void* caller,
                           std::uint32_t order, bool unwatched) {
  Atfork atfork{};
  for (std::size_t i = 0; i < kHandlerPhases; ++i) {
    atfork.function[i] = reinterpret_cast<std::uint64_t>(functions[i]);
    note_module(atfork.function[i]);
  }
  atfork.caller = reinterpret_cast<std::uint64_t>(caller);
  note_module(atfork.caller);
  if (process.arena.attached())
    atfork.next_fork = process.arena.header()->next_fork.load(std::memory_order_relaxed);
  atfork.order = order;
  ThreadRecord* thread = current();
  atfork.inside_handler = thread != nullptr && live_handler(*thread) != nullptr;
  atfork.unwatched = unwatched;
  auto space = process.reserve(sizeof atfork);
  if (!space) return 0;
  Filler(space.payload()).put(atfork);
  process.publish(space, Type::kAtfork);
  return space.offset;
}

/// What is this far from a stack pointer lies in another stack.
constexpr std::uintptr_t kFar = std::uintptr_t{8} << 20;

/// The lock path may be short again.
void unguard(ThreadRecord& thread) {
  restore_lock_path(thread);
}

}  // namespace

bool is_in_use(const HandlerEntry& entry) {
  return entry.state.load(std::memory_order_acquire) == kInUse && !is_gone(entry);
}

HandlerEntry* add_handlers(void (*const (&functions)[kHandlerPhases])(), void* dso,
                           const void* caller) {
  const std::uint32_t order = last_order.fetch_add(1, std::memory_order_relaxed) + 1;
  HandlerEntry* entry = find_entry(functions, dso);
  const std::uint64_t atfork = write_atfork(functions, caller, order, entry == nullptr);
  // Registered once more beside itself: its trampolines may be running, and say the same.
  if (entry == nullptr || entry->state.load(std::memory_order_relaxed) == kInUse) return entry;
  std::copy_n(functions, kHandlerPhases, entry->function);
  entry->dso = dso;
  entry->in_object = in_loaded_object(dso);
  entry->order = order;
  entry->atfork = atfork;
  entry->state.store(kInUse, std::memory_order_release);
  return entry;
}

std::uint32_t index_of(const HandlerEntry& entry) { return std::uint32_t(&entry - entries); }

HandlerEntry& handler_entry(std::uint32_t index) { return entries[index]; }

bool any_handlers() { return in_use.load(std::memory_order_relaxed) != 0; }

HandlerCall::HandlerCall(const HandlerEntry& entry, HandlerPhase its_phase)
    : atfork(entry.atfork), phase(its_phase), magic_(this), thread_(current()), previous_(nullptr) {
  if (thread_ == nullptr) return;
  previous_ = live_handler(*thread_);
  thread_->fork.handler = this;
  // The lock path, too, comes by: what a handler locks is of interest, and whether it gets it.
  unguard_ = detail::unguarded == thread_ || detail::guarded == thread_;
  take_long_path();
  if (previous_ == nullptr) handler_trace::entered(*thread_, *this, entry.order);
  begin_ = sys::now();
}

void HandlerCall::returned() {
  const std::uint64_t end = sys::now();
  if (thread_ == nullptr) return;
  if (trace != nullptr) handler_trace::left(*thread_, *this, end - begin_);
  magic_ = nullptr;
  thread_->fork.handler = previous_;
  if (unguard_) unguard(*thread_);
}

HandlerCall* live_handler(ThreadRecord& thread) {
  HandlerCall* call = thread.fork.handler;
  if (call == nullptr) return nullptr;
  const auto at = reinterpret_cast<std::uintptr_t>(call);
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (here < at && at - here < kFar && call->magic_ == call) return call;
  if (here - at < kFar || at - here < kFar) {  // this stack, and not below it: it was left
    thread.fork.handler = nullptr;
    unguard(thread);
  }
  return nullptr;
}

}  // namespace forkscope
