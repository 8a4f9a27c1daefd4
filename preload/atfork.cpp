// __register_atfork: who registers first runs last before a fork and first after it
// (nptl, posix/register-atfork.c), so ours are registered before anybody else's: whatever other
// handlers lock in `prepare` is held by the forking thread when we look, and what they unlock in
// `child` is a repair that we see.
#include "preload/atfork.hpp"

#include "detector/tracker/fork_events.hpp"
#include "preload/real.hpp"

extern "C" void* __dso_handle;

namespace forkscope {

namespace {

constinit std::atomic<bool> registered{false};

void prepare() { fork_begin(record::Api::kAtfork, nullptr); }  // unless a wrapper did

void in_parent() { fork_in_parent_if(record::Api::kAtfork); }

void in_child() { fork_in_child(); }

}  // namespace

void register_atfork_handlers() {
  if (!registered.exchange(true))
    real().__register_atfork(prepare, in_parent, in_child, &__dso_handle);
}

}  // namespace forkscope

FORKSCOPE_EXPORT int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(),
                                       void* dso) noexcept {
  forkscope::register_atfork_handlers();
  return forkscope::real().__register_atfork(prepare, parent, child, dso);
}
