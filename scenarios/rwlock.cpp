// Scenario rwlock: a forked child meets a read-write lock that a thread of the parent holds.
//
// Cause: fork() copies the lock with its count of readers or its writer, and none of the threads
// that would give it back. A reader is enough to keep every writer of the child out for ever, and
// glibc does not record who the readers are. Another reader gets in.
//
// At-fork handlers must not unlock it in the child: glibc's unlock asks whether the writer has the
// TID of the caller, the child has another than the thread that forked, and the lock is damaged as
// if a reader had left (nptl/pthread_rwlock_unlock.c). Initialise it anew instead.
//
//   reader-0: rdlock(prices_lock) ...................... unlock
//   main:                           fork
//   worker (a copy of main alone):  wrlock(prices_lock)  for ever: one reader, and no thread
#include <pthread.h>
#include <unistd.h>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "rwlock",
    .title = "fork while a thread holds a read-write lock",
    .cause =
        "A thread of the parent reads under a read-write lock at the fork. The child inherits "
        "a lock that one reader holds and no thread that could give it back: it waits for "
        "ever as soon as it wants to write, or to read when the thread was a writer.",
    .mechanism = "The thread stays inside its critical section until the worker has been started.",
    .cure =
        "Take the lock for writing in the prepare handler of pthread_atfork, unlock it in the "
        "parent handler, and initialise it anew in the child handler; or start workers with "
        "posix_spawn.",
    .source = "scenarios/rwlock.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "a reader holds the lock; the worker wants to write"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        hangs("fork-writer-held", "orphaned-lock", "a writer holds it; the worker wants to read"),
        completes("fork-child-reads", {}, "a reader holds it; the worker reads too, which works"),
        lucky("fork-lucky", "the reader has unlocked before the fork; the worker writes")
            .as_timing_of("fork"),
        silent("fork-both-read", "control: readers do not keep each other out"),
        silent("fork-atfork", "control: at-fork handlers take the lock; the child's makes it anew"),
        hangs("fork-atfork-unlock", "stale-owner",
              "at-fork handlers take the lock; the child's unlocks it, as if it were a mutex")
            .seen_from_outside("deadlock", "orphaned-lock"),
    }};

pthread_rwlock_t prices_lock = PTHREAD_RWLOCK_INITIALIZER;
int prices[16];  // guarded by it

[[gnu::noinline]] int lookup_price() {
  pthread_rwlock_rdlock(&prices_lock);
  const int price = prices[0];
  pthread_rwlock_unlock(&prices_lock);
  return price;
}

[[gnu::noinline]] int update_prices() {
  pthread_rwlock_wrlock(&prices_lock);
  for (int& price : prices) price = 0;
  return pthread_rwlock_unlock(&prices_lock);
}

void lock_for_reading() { pthread_rwlock_rdlock(&prices_lock); }
void lock_for_writing() { pthread_rwlock_wrlock(&prices_lock); }
void unlock() { pthread_rwlock_unlock(&prices_lock); }

void make_anew() { pthread_rwlock_init(&prices_lock, nullptr); }

/// With handlers the fork waits for the reader, which goes only when it sees that.
Worker fork_with_handlers(void (*in_child)()) {
  static const int registered = pthread_atfork(lock_for_writing, unlock, in_child);
  if (registered != 0) throw_errno("cannot register at-fork handlers", registered);
  const Holder idle("idle-0");  // lives at the fork, whether the reader still does or not
  Holder reader("reader-0", lock_for_reading, [main = gettid()] {
    wait_until_blocked_on(main, prices_lock);
    unlock();
  });
  reader.let_go();
  return fork_worker(update_prices);
}

Worker start(const std::string& method) {
  if (method == "fork-atfork") return fork_with_handlers(make_anew);
  if (method == "fork-atfork-unlock") return fork_with_handlers(unlock);
  if (method == "fork-lucky") {
    const Holder reader = Holder::that_had("reader-0", lock_for_reading, unlock);
    return fork_worker(update_prices);
  }
  if (method == "fork-both-read") {
    const Holder reader = Holder::that_had("reader-0", lock_for_reading, unlock);
    return fork_worker(lookup_price);
  }
  const bool writer = method == "fork-writer-held";
  Holder holder(writer ? "writer-0" : "reader-0", writer ? lock_for_writing : lock_for_reading,
                unlock);
  if (method == "spawn") return spawn_worker("prices");
  return fork_worker(method == "fork" ? update_prices : lookup_price);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, update_prices));
}
