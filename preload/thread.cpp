// pthread_create and pthread_setname_np. The end of a thread is seen by registry.cpp.
#include <cstring>

#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/unsafe_calls.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

std::size_t stack_size_of(const pthread_attr_t* attributes) {
  std::size_t size = 0;
  if (attributes == nullptr || libc_calls.attr_getstacksize(attributes, &size) != 0)
    size = default_stack_size();
  return size;
}

bool is_alive_as(const ThreadRecord& thread, pthread_t handle) {
  const Life life = thread.life.load(std::memory_order_relaxed);
  return thread.generation == process.generation && pthread_equal(thread.pthread, handle) &&
         (life == Life::kAlive || life == Life::kStarting);
}

/// What detail::self of thread `handle` is, null where that cannot be said. The handle is the thread
/// pointer (nptl, allocatestack.c), from which initial-exec variables are as far in every thread. Its
/// owner may write it just now.
ThreadRecord* self_of(pthread_t handle) {
  const auto base = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
  if (pthread_self() != base) return nullptr;
  const std::uintptr_t distance = reinterpret_cast<std::uintptr_t>(&detail::self) - base;
  return __atomic_load_n(reinterpret_cast<ThreadRecord**>(handle + distance), __ATOMIC_ACQUIRE);
}

/// Of a living thread that libc knows by `handle`. One that has not run yet is looked for, the newest
/// first: who creates a thread names it at once.
ThreadRecord* record_of(pthread_t handle) {
  if (ThreadRecord* its = self_of(handle); its != nullptr && is_alive_as(*its, handle)) return its;
  for (std::uint32_t i = registry.size(); i-- > 0;)
    if (ThreadRecord* one = registry.at(i); one != nullptr && is_alive_as(*one, handle)) return one;
  return nullptr;
}

/// First code of the new thread. The stack size was left in stack_span for adopt() to read.
void* run_thread(void* argument) {
  auto& thread = *static_cast<ThreadRecord*>(argument);
  adopt(thread, thread.stack_span);
  if (inject::armed) inject::thread_starts(thread);
  return thread.start(thread.argument);  // a tail call: no frame of ours stays on the stack
}

/// The same for C11, whose start routine gives an int.
int run_c11_thread(void* argument) {
  auto& thread = *static_cast<ThreadRecord*>(argument);
  adopt(thread, thread.stack_span);
  if (inject::armed) inject::thread_starts(thread);
  return reinterpret_cast<thrd_start_t>(reinterpret_cast<void*>(thread.start))(thread.argument);
}

/// The errno that the call is to fail with, or 0. Keeps errno, which these calls do not set.
int refused_as_asked(const void* caller) {
  return inject::armed ? inject::fails(InjectAction::kCreateFail, caller) : 0;
}

/// A record for the thread that create(record) makes, which gives 0 when it did; without record
/// when there is none to be had.
template <typename Create>
[[gnu::always_inline]] inline int create_thread(const pthread_t* created,
                                                const pthread_attr_t* attributes,
                                                void* (*start)(void*), void* argument,
                                                record::UnsafeCall call, void* caller,
                                                Create&& create) {
  ThreadRecord* creator = observed(record::Call::kPthreadCreate, caller);
  if (creator != nullptr) unsafe_calls::note(*creator, call, caller);
  ThreadRecord* thread = creator != nullptr ? registry.allocate() : nullptr;
  if (thread == nullptr) return create(nullptr);
  thread->start = start;
  note_module(reinterpret_cast<std::uint64_t>(start));
  thread->argument = argument;
  thread->guarded = creator->guarded;
  thread->stack_span = stack_size_of(attributes);
  thread->creator_frames = walk_stack(thread->creator, record::kMaxCreatorFrames, caller);
  process.stacks_used_by.store(process.generation, std::memory_order_relaxed);
  history::start();
  if (inject::armed) inject::new_thread(*creator, *thread);
  process.living.fetch_add(1, std::memory_order_relaxed);
  int result = create(thread);
  if (result != 0) {
    process.living.fetch_sub(1, std::memory_order_relaxed);
    registry.release(*thread);
  } else {
    // Its handle is known before it runs, and may be given a name at once. Unless it has been there
    // already: the record may even be another's by now, whose own thread overwrites this.
    pthread_t none = 0;
    thread->pthread.compare_exchange_strong(none, *created, std::memory_order_relaxed);
  }
  return result;
}

}  // namespace

FORKSCOPE_EXPORT int pthread_create(pthread_t* __restrict created,
                                    const pthread_attr_t* __restrict attributes,
                                    void* (*start)(void*), void* __restrict argument) noexcept {
  if (int error = refused_as_asked(__builtin_return_address(0))) return error;
  return create_thread(
      created, attributes, start, argument, record::UnsafeCall::pthread_create,
      __builtin_return_address(0), [&](ThreadRecord* thread) {
        return thread != nullptr ? real().pthread_create(created, attributes, run_thread, thread)
                                 : real().pthread_create(created, attributes, start, argument);
      });
}

FORKSCOPE_EXPORT int thrd_create(thrd_t* created, thrd_start_t start, void* argument) {
  static_assert(thrd_success == 0);
  if (refused_as_asked(__builtin_return_address(0)) != 0) return thrd_error;
  return create_thread(
      created, nullptr, reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void*>(start)),
      argument, record::UnsafeCall::thrd_create, __builtin_return_address(0),
      [&](ThreadRecord* thread) {
        return thread != nullptr ? real().thrd_create(created, run_c11_thread, thread)
                                 : real().thrd_create(created, start, argument);
      });
}

FORKSCOPE_EXPORT int pthread_setname_np(pthread_t target, const char* name) noexcept {
  int result = real().pthread_setname_np(target, name);
  if (result != 0) return result;
  if (ThreadRecord* thread = record_of(target))
    std::strncpy(thread->name, name, sizeof thread->name - 1);
  return result;
}
