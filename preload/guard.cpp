// __cxa_guard_acquire, _release, _abort: what the compiler calls around the initialisation of a
// function-local static. A fork during it leaves a guard that the child waits for in vain.
//
// They belong to the C++ library, which a program may have, may load later, or may not have at all:
// looked up at the first call, not by the constructor.
#include <dlfcn.h>
#include <link.h>

#include <cstring>

#include "detector/tracker/lock_words.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using record::Call;

namespace {

using Guard = std::int64_t;  // __guard of the Itanium C++ ABI

struct Functions {
  int (*acquire)(Guard*);
  void (*release)(Guard*);
  void (*abort)(Guard*);
};
constinit std::atomic<const Functions*> resolved{nullptr};

/// A C++ library loaded with RTLD_LOCAL is behind nobody in the global scope, but in the scope of
/// whoever needs it.
void* in_scope_of(const void* caller, const char* name) {
  dl_find_object object{};
  if (_dl_find_object(const_cast<void*>(caller), &object) != 0) return nullptr;
  void* handle = real().dlopen(object.dlfo_link_map->l_name, RTLD_LAZY | RTLD_NOLOAD);
  void* found = handle != nullptr ? dlsym(handle, name) : nullptr;
  if (handle != nullptr) dlclose(handle);
  return found;
}

void* find(const void* caller, const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  return found != nullptr ? found : in_scope_of(caller, name);
}

const Functions& functions(const void* caller) {
  const Functions* known = resolved.load(std::memory_order_acquire);
  if (known != nullptr) [[likely]]
    return *known;
  static constinit Functions found{};  // two threads write the same
  found.acquire = reinterpret_cast<int (*)(Guard*)>(find(caller, "__cxa_guard_acquire"));
  found.release = reinterpret_cast<void (*)(Guard*)>(find(caller, "__cxa_guard_release"));
  found.abort = reinterpret_cast<void (*)(Guard*)>(find(caller, "__cxa_guard_abort"));
  resolved.store(&found, std::memory_order_release);
  return found;
}

constexpr lock_call::Kind kGuard{record::LockType::kStaticGuard, 0, Call::kGuardAcquire};

[[gnu::noinline]] int acquire(Guard* guard, void* caller, bool recorded) {
  const Functions& real = functions(caller);
  ThreadRecord* thread = observed(Call::kGuardAcquire, caller);
  if (thread == nullptr) return real.acquire(guard);
  if (!recorded) table::want_deep(*thread, guard, kGuard.type, 0, caller);
  Met met;
  if (thread->guarded) [[unlikely]] {
    int ignored;
    auto attempt = [&] { return lock_words::guard_taken(guard) ? EBUSY : 0; };
    auto take_away = [&] { __atomic_store_n(guard, 0, __ATOMIC_SEQ_CST); };
    lock_call::meet(*thread, guard, kGuard, caller, attempt, take_away, ignored, met);
  }
  int mine = real.acquire(guard);  // 0: somebody else has initialised it
  table::settle(*thread, guard, mine != 0);
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
  functions(__builtin_return_address(0)).release(guard);
}

FORKSCOPE_EXPORT void __cxa_guard_abort(Guard* guard) noexcept {
  lock_call::give_up(guard);
  functions(__builtin_return_address(0)).abort(guard);
}
