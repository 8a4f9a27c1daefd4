// Scenario futex-lock: a child is forked while a thread holds a lock made of a futex.
//
// Cause: locks such as those of Rust's standard library, Abseil and folly are one word and, when
// they must wait, syscall(SYS_futex). No pthread function is called, the word names no owner, and
// as long as nobody waits there is nothing to see. The child inherits the word "locked".
//
//   cache-0: lock(cache_lock) ................... unlock
//   main:                       fork
//   worker (a copy of main alone):  lock(cache_lock) > syscall(SYS_futex, FUTEX_WAIT)  for ever
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "futex-lock",
    .title = "fork while a thread holds a lock made of a futex",
    .cause =
        "A thread of the parent holds a lock that is a word and a futex, as those of Rust, "
        "Abseil and folly are. The child inherits the word without the thread, and waits for "
        "ever. Which thread held it is written nowhere.",
    .mechanism = "The thread stays inside its critical section until the worker has been started.",
    .cure =
        "Such locks cannot be repaired from outside: start workers with posix_spawn, or fork "
        "before the library is used.",
    .source = "scenarios/futex_lock.cpp",
    .methods = {
        hangs("fork", "lost-thread", "forked while a thread reads the cache; the worker reads too"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        silent("fork-unlocked", "control: the thread has unlocked and ended before the fork")
            .as_timing_of("fork"),
    }};

/// As in Rust's std::sync::Mutex.
class FutexLock {
 public:
  void lock() {
    std::uint32_t expected = kFree;
    if (!word_.compare_exchange_strong(expected, kLocked, std::memory_order_acquire))
      lock_contended();
  }
  void unlock() {
    if (word_.exchange(kFree, std::memory_order_release) == kAwaited)
      syscall(SYS_futex, &word_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
  }

 private:
  enum : std::uint32_t { kFree = 0, kLocked = 1, kAwaited = 2 };

  [[gnu::noinline]] void lock_contended() {
    while (word_.exchange(kAwaited, std::memory_order_acquire) != kFree)
      syscall(SYS_futex, &word_, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, kAwaited, nullptr, nullptr,
              FUTEX_BITSET_MATCH_ANY);
  }

  std::atomic<std::uint32_t> word_ = kFree;
};

FutexLock cache_lock;
int cached = 0;  // guarded by it

[[gnu::noinline]] int read_cache() {
  cache_lock.lock();
  const int value = cached;
  cache_lock.unlock();
  return value;
}

Worker start(const std::string& method) {
  Holder holder(
      "cache-0", [] { cache_lock.lock(); }, [] { cache_lock.unlock(); });
  if (method == "spawn") return spawn_worker("cache");
  if (method == "fork-unlocked") holder.finish();
  return fork_worker(read_cache);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, read_cache));
}
