// __register_atfork: who registers first runs last before a fork and first after it
// (nptl, posix/register-atfork.c), so ours are registered before anybody else's: whatever other
// handlers lock in `prepare` is held by the forking thread when we look, and what they unlock in
// `child` is a repair that we see.
//
// What the program registers is called through a trampoline that tells the tracker when a handler
// begins and ends. libc gets as many handlers as the program gives, in the same order and for the
// same object, none where the program gives none; it removes them at dlclose by that object. A
// handler that never returns (longjmp, _exit, exec) leaves nothing behind but a mark that
// live_handler() sees through.
#include "preload/atfork.hpp"

#include <array>
#include <utility>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/handlers.hpp"
#include "detector/tracker/inject.hpp"
#include "preload/probe.hpp"
#include "preload/real.hpp"

extern "C" void* __dso_handle;

namespace forkscope {

namespace {

using record::HandlerPhase;
using Handler = void (*)();

constinit std::atomic<bool> registered{false};

void prepare() {
  fork_begin(record::Api::kAtfork, nullptr);  // unless a wrapper did
  if (inject::armed) inject::before_call();
  probe_fork::prepare();
}

void in_parent() {
  probe_fork::in_parent();
  if (inject::armed) inject::call_done();
  fork_in_parent_if(record::Api::kAtfork);
}

void in_child() {
  probe_fork::in_child();
  fork_in_child();
}

[[gnu::noinline]] void run_handler(std::uint32_t index, HandlerPhase phase) {
  const HandlerEntry& entry = handler_entry(index);
  const Handler handler = entry.function[std::size_t(phase)];
  HandlerCall call(entry, phase);
  handler();
  call.returned();
}

template <std::uint32_t Index, HandlerPhase Phase>
void trampoline() {
  run_handler(Index, Phase);
}

template <std::uint32_t... Index>
constexpr auto all_trampolines(std::integer_sequence<std::uint32_t, Index...>) {
  return std::array<std::array<Handler, record::kHandlerPhases>, sizeof...(Index)>{
      {{trampoline<Index, HandlerPhase::kPrepare>, trampoline<Index, HandlerPhase::kParent>,
        trampoline<Index, HandlerPhase::kChild>}...}};
}
constexpr auto kTrampolines =
    all_trampolines(std::make_integer_sequence<std::uint32_t, kHandlerEntries>());

Handler trampoline_for(const HandlerEntry& entry, HandlerPhase phase) {
  const auto which = std::size_t(phase);
  return entry.function[which] != nullptr ? kTrampolines[index_of(entry)][which] : nullptr;
}

}  // namespace

void register_atfork_handlers() {
  if (!registered.exchange(true))
    real().__register_atfork(prepare, in_parent, in_child, &__dso_handle);
}

}  // namespace forkscope

FORKSCOPE_EXPORT int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(),
                                       void* dso) noexcept {
  using namespace forkscope;
  register_atfork_handlers();
  HandlerEntry* entry = add_handlers({prepare, parent, child}, dso, __builtin_return_address(0));
  if (entry == nullptr) return real().__register_atfork(prepare, parent, child, dso);
  return real().__register_atfork(trampoline_for(*entry, HandlerPhase::kPrepare),
                                  trampoline_for(*entry, HandlerPhase::kParent),
                                  trampoline_for(*entry, HandlerPhase::kChild), dso);
}
