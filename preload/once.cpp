// pthread_once (std::call_once ends there) and C11's call_once. glibc lets a child start anew what
// was in progress at a fork(), but only counts forks that run the at-fork handlers: after _Fork()
// or a clone the child waits for ever.
#include <threads.h>

#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/process.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using record::Call;

namespace {

/// The call in progress, to tell who runs the routine from who waits for it.
struct Running {
  void* flag;
  void (*routine)();
};
constinit thread_local Running running{};

void run() {
  Running own = running;
  ThreadRecord* thread = detail::self;
  if (thread != nullptr && !thread->vfork_open) {
    table::settle(*thread, own.flag, true);
    inject::taken(*thread, own.flag, record::LockType::kOnce, 0,
                  reinterpret_cast<const void*>(own.routine));
  }
  own.routine();  // may throw, or end the thread
  if (thread != nullptr && !thread->vfork_open) inject::giving_up(*thread, own.flag);
}

void clear(ThreadRecord& thread, const void* flag) {
  auto* word = table::find(thread, flag, Hold::kHeld);
  if (word == nullptr) word = table::find(thread, flag, Hold::kWanted);
  if (word != nullptr) table::clear(thread, *word);
}

template <typename Once>
[[gnu::always_inline]] inline int once(void* flag, void (*routine)(), Call call, void* caller,
                                       bool recorded, Once&& function) {
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr) return function(routine);
  const lock_call::Kind kind{record::LockType::kOnce, 0, call};
  if (!recorded) table::want_deep(*thread, flag, kind.type, 0, caller);
  Met met;
  if (thread->guarded && record::handlers_of(process.last_api) == record::Handlers::kSkipped)
      [[unlikely]] {
    int ignored;
    auto attempt = [&] { return lock_words::once_taken(flag) ? EBUSY : 0; };
    auto take_away = [&] { __atomic_store_n(static_cast<int*>(flag), 0, __ATOMIC_SEQ_CST); };
    lock_call::meet(*thread, flag, kind, caller, attempt, take_away, ignored, met);
  }
  inject::wants(*thread, flag);
  Running outer = running;
  running = {flag, routine};
  int result = function(run);
  running = outer;
  clear(*thread, flag);
  if (met.finding != 0) [[unlikely]]
    call_returned(met.finding, flag, true);
  return result;
}

constexpr lock_call::Kind kOnce{record::LockType::kOnce, 0, Call::kOnce};

bool done(const void* flag) {
  return (__atomic_load_n(static_cast<const int*>(flag), __ATOMIC_ACQUIRE) & 2) != 0;
}

[[gnu::noinline]] int once_slowly(pthread_once_t* flag, void (*routine)(), void* caller,
                                  bool recorded) {
  return once(flag, routine, Call::kOnce, caller, recorded,
              [&](void (*run_it)()) { return real().pthread_once(flag, run_it); });
}
[[gnu::noinline]] void call_once_slowly(once_flag* flag, void (*routine)(), void* caller,
                                        bool recorded) {
  once(flag, routine, Call::kCallOnce, caller, recorded, [&](void (*run_it)()) {
    real().call_once(flag, run_it);
    return 0;
  });
}

}  // namespace

FORKSCOPE_EXPORT int pthread_once(pthread_once_t* flag, void (*routine)()) {
  if (done(flag)) [[likely]]
    return real().pthread_once(flag, routine);
  bool recorded = lock_call::record_call(flag, kOnce, FORKSCOPE_CALL_SITE);
  return once_slowly(flag, routine, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT void call_once(once_flag* flag, void (*routine)()) {
  if (done(flag)) [[likely]]
    return real().call_once(flag, routine);
  bool recorded = lock_call::record_call(flag, kOnce, FORKSCOPE_CALL_SITE);
  call_once_slowly(flag, routine, __builtin_return_address(0), recorded);
}
