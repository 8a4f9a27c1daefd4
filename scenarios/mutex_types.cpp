// Scenario mutex-types: what becomes of each type of pthread mutex in a forked child.
//
// Recursive, error-checking and robust mutexes store the TID of their owner. The child of the
// owner has another TID: its unlock is refused with EPERM, and its next lock waits for a thread
// of another process. A normal mutex compares nothing, so the child can unlock it. A process-shared
// mutex in shared memory has one owner for all processes, who is alive.
//
// A priority-inheriting mutex is waited for in the kernel, which looks for the owner by its TID: a
// thread of another process is EPERM, upon which glibc aborts; one that has ended meanwhile is
// ESRCH, upon which glibc lets the caller wait for ever (nptl/pthread_mutex_lock.c).
//
//   main:                          lock(mutex) > fork
//   worker (a copy of main alone):                  unlock: EPERM > lock(mutex)  for ever
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string_view>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "mutex-types",
    .title = "what becomes of each type of mutex in a forked child",
    .cause =
        "Recursive, error-checking and robust mutexes remember the TID of their owner, which "
        "is another in the child: unlocking what the forking thread had locked fails with "
        "EPERM, which few programs look at, and the next lock waits for ever.",
    .mechanism =
        "The forking thread holds the mutex, or another thread does until the worker has "
        "been started; the worker goes on where the forking thread was.",
    .cure =
        "Do not fork inside a critical section. In the child handler of pthread_atfork, "
        "initialise such mutexes anew rather than unlock them.",
    .source = "scenarios/mutex_types.cpp",
    .methods = {
        hangs("recursive", "stale-owner", "held by the forking thread; unlock gives EPERM")
            .seen_from_outside("deadlock", "stale-owner"),
        hangs("errorcheck", "stale-owner", "held by the forking thread; unlock gives EPERM")
            .seen_from_outside("deadlock", "stale-owner"),
        hangs("robust", "stale-owner", "held by the forking thread; unlock gives EPERM")
            .seen_from_outside("deadlock", "stale-owner"),
        dies("pi", "SIGABRT", "orphaned-lock",
             "priority inheritance, held by another thread: glibc aborts the worker"),
        hangs("pi-holder-ended", "orphaned-lock",
              "the same, but that thread has ended in the parent when the worker locks"),
        hangs("normal-relock", "self-held-lock", "held by the forking thread, locked once more"),
        lucky("lucky-normal", "another thread has unlocked it before the fork, and lives on"),
        lucky("lucky-recursive", "the same with a recursive mutex"),
        lucky("lucky-errorcheck", "the same with an error-checking one"),
        lucky("lucky-robust", "the same with a robust one"),
        lucky("lucky-pi", "the same with priority inheritance").as_timing_of("pi"),
        silent("normal-unlock", "control: held by the forking thread; the worker unlocks first"),
        silent("pshared", "control: in shared memory; its owner is alive and unlocks"),
    }};

pthread_mutex_t account_lock;

void make(pthread_mutex_t& mutex, const std::string& method) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (method == "recursive") pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  if (method == "errorcheck") pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  if (method == "robust") pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (method.starts_with("pi")) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  if (method == "pshared") pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (const int error = pthread_mutex_init(&mutex, &attributes))
    throw_errno("cannot make a mutex", error);
  pthread_mutexattr_destroy(&attributes);
}

[[gnu::noinline]] int use_account() {
  pthread_mutex_lock(&account_lock);
  return pthread_mutex_unlock(&account_lock);
}

/// Ends the critical section that it was forked in, and begins another.
int unlock_and_use_account() {
  if (const int error = pthread_mutex_unlock(&account_lock); error != EPERM)
    throw_errno("the unlock was not refused", error);
  return use_account();
}

int leave_and_use_account() {
  if (const int error = pthread_mutex_unlock(&account_lock))
    throw_errno("the unlock was refused", error);
  return use_account();
}

/// Forks while this very thread is inside its critical section.
Worker fork_inside(int (*work)()) {
  pthread_mutex_lock(&account_lock);
  Worker worker = fork_worker(work);
  pthread_mutex_unlock(&account_lock);
  return worker;
}

/// Another thread holds the mutex, until the worker has ended or until before it locks.
Worker fork_beside_holder(bool ends) {
  const auto holder = std::make_shared<Holder>(
      "holder-0", [] { pthread_mutex_lock(&account_lock); },
      [] { pthread_mutex_unlock(&account_lock); });
  Gate holder_ended;
  Worker worker = fork_worker([&] {
    if (ends) holder_ended.wait();
    return use_account();
  });
  if (ends) holder->finish();
  holder_ended.open();
  worker.reap = [holder, reap = worker.reap] { return reap(); };
  return worker;
}

/// The holder unlocks when it sees the worker wait: glibc's word for "locked, somebody waits" is 2.
Worker fork_with_shared_mutex() {
  void* memory = mmap(nullptr, sizeof(pthread_mutex_t), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("cannot map shared memory");
  auto& shared = *static_cast<pthread_mutex_t*>(memory);
  make(shared, "pshared");
  Holder holder(
      "holder-0", [&] { pthread_mutex_lock(&shared); },
      [&] {
        wait_until([&] { return __atomic_load_n(&shared.__data.__lock, __ATOMIC_ACQUIRE) == 2; });
        pthread_mutex_unlock(&shared);
      });
  return fork_worker([&] {
    pthread_mutex_lock(&shared);
    return pthread_mutex_unlock(&shared);
  });
}

/// Another thread has had it and lives on.
Worker fork_beside_idle_thread() {
  const Holder holder = Holder::that_had(
      "holder-0", [] { pthread_mutex_lock(&account_lock); },
      [] { pthread_mutex_unlock(&account_lock); });
  return fork_worker(use_account);
}

Worker start(const std::string& method) {
  if (method == "pshared") return fork_with_shared_mutex();
  constexpr std::string_view kLucky = "lucky-";
  if (method.starts_with(kLucky)) {
    make(account_lock, method.substr(kLucky.size()));
    return fork_beside_idle_thread();
  }
  make(account_lock, method);
  if (method == "normal-relock") return fork_inside(use_account);
  if (method == "normal-unlock") return fork_inside(leave_and_use_account);
  if (method.starts_with("pi")) return fork_beside_holder(method == "pi-holder-ended");
  return fork_inside(unlock_and_use_account);
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
