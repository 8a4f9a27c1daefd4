// __cxa_guard_acquire, _release, _abort: what the compiler calls around the initialisation of a
// function-local static. A fork during it leaves a guard that the child waits for in vain.
//
// They belong to the C++ library, which a program may have, may load later, or may not have at all:
// looked up at the first call, not by the constructor.
#include <dlfcn.h>
#include <link.h>

#include <cstring>

#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/static_init.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using record::Call;

namespace {

using Guard = std::int64_t;  // __guard of the Itanium C++ ABI

/// A C++ library loaded with RTLD_LOCAL is behind nobody in the global scope, but in the scope of
/// whoever needs it.
void* in_scope_of(const void* caller, const char* name) {
  const link_map* object = object_of(caller);
  if (object == nullptr) return nullptr;
  void* handle = real().dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD);
  void* found = handle != nullptr ? dlsym(handle, name) : nullptr;
  if (handle != nullptr) real().dlclose(handle);
  return found;
}

/// One of the three functions. What is in the global scope stays; what only the caller's has can be
/// unloaded with it, and is looked up each time.
template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  Function* for_caller(const void* caller) {
    Function* found = known_.load(std::memory_order_relaxed);
    if (found != nullptr) [[likely]]
      return found;
    found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name_));
    if (found == nullptr) return reinterpret_cast<Function*>(in_scope_of(caller, name_));
    known_.store(found, std::memory_order_relaxed);
    return found;
  }

 private:
  const char* name_;
  std::atomic<Function*> known_{nullptr};
};
constinit Next<int(Guard*)> real_acquire("__cxa_guard_acquire");
constinit Next<void(Guard*)> real_release("__cxa_guard_release"), real_abort("__cxa_guard_abort");

constexpr lock_call::Kind kGuard{record::LockType::kStaticGuard, 0, Call::kGuardAcquire};

[[gnu::noinline]] int acquire(Guard* guard, void* caller, bool recorded) {
  auto* real = real_acquire.for_caller(caller);
  ThreadRecord* thread = observed(Call::kGuardAcquire, caller);
  if (thread == nullptr) return real(guard);
  if (!recorded) table::want_deep(*thread, guard, kGuard.type, 0, caller);
  Met met;
  if (thread->guarded) [[unlikely]] {
    int ignored;
    auto attempt = [&] { return lock_words::guard_taken(guard) ? EBUSY : 0; };
    auto take_away = [&] { __atomic_store_n(guard, 0, __ATOMIC_SEQ_CST); };
    lock_call::meet(*thread, guard, kGuard, caller, attempt, take_away, ignored, met);
  }
  inject::wants(*thread, guard);
  int mine = real(guard);  // 0: somebody else has initialised it
  table::settle(*thread, guard, mine != 0);
  if (mine != 0) inject::taken(*thread, guard, kGuard.type, 0, caller);
  if (mine != 0) note_static_init(*thread, guard);
  if (met.finding != 0) [[unlikely]]
    call_returned(met.finding, guard, true);
  return mine;
}

}  // namespace

FORKSCOPE_EXPORT int __cxa_guard_acquire(Guard* guard) {
  bool recorded = lock_call::record_call(guard, kGuard, FORKSCOPE_CALL_SITE);
  return acquire(guard, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT void __cxa_guard_release(Guard* guard) noexcept {
  lock_call::give_up(guard);
  real_release.for_caller(__builtin_return_address(0))(guard);
}

FORKSCOPE_EXPORT void __cxa_guard_abort(Guard* guard) noexcept {
  lock_call::give_up(guard);
  real_abort.for_caller(__builtin_return_address(0))(guard);
}
