// Threads storm hundreds of mutexes of every type, and rwlocks, spin locks and semaphores
// (storm_locks.hpp), while another thread forks: in every child the tracker's answer must be
// exactly the mutexes whose frozen owner word names a thread of the parent, and the other locks
// that their threads had.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "tests/tracker/storm_locks.hpp"

using namespace forkscope;
using test::StormLocks;

namespace {

constexpr int kThreads = 4;
constexpr int kMutexes = 350, kC11Mutexes = 50;
constexpr int kForker = kThreads;  // its index among the threads
static_assert(StormLocks::kThreads == kThreads + 1);

struct Totals {  // in shared memory: children add to it
  std::atomic<std::uint64_t> children, held, missing, extra, wrong_owner, dropped;
  StormLocks::Totals others;
};

enum class Type { kNormal, kRecursive, kErrorcheck, kAdaptive, kRobust, kPshared, kPi, kCount };

void init_mutex(pthread_mutex_t& mutex, Type type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  switch (type) {
    case Type::kRecursive:
      pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
      break;
    case Type::kErrorcheck:
      pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
      break;
    case Type::kAdaptive:
      pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
      break;
    case Type::kRobust:
      pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
      break;
    case Type::kPshared:
      pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
      break;
    case Type::kPi:
      pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
      break;
    case Type::kNormal:
    case Type::kCount:
      break;
  }
  REQUIRE(pthread_mutex_init(&mutex, &attributes) == 0);
  pthread_mutexattr_destroy(&attributes);
}

struct Storm {
  pthread_mutex_t mutexes[kMutexes];
  mtx_t c11_mutexes[kC11Mutexes];
  StormLocks others;
  pthread_cond_t conditions[4];
  pthread_mutex_t condition_mutexes[4];
  std::atomic<bool> stop{false};
  std::atomic<int> tids[kThreads] = {};

  Storm() {
    for (int i = 0; i < kMutexes; ++i) init_mutex(mutexes[i], Type(i % int(Type::kCount)));
    constexpr int kC11Types[] = {mtx_plain, mtx_timed, mtx_plain | mtx_recursive};
    for (int i = 0; i < kC11Mutexes; ++i)
      REQUIRE(mtx_init(&c11_mutexes[i], kC11Types[i % 3]) == thrd_success);
    for (auto& condition : conditions) pthread_cond_init(&condition, nullptr);
    for (auto& mutex : condition_mutexes) init_mutex(mutex, Type::kNormal);
  }

  static timespec soon(long microseconds) {
    timespec at{};
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += microseconds * 1000;
    if (at.tv_nsec >= 1'000'000'000) at.tv_nsec -= 1'000'000'000, ++at.tv_sec;
    return at;
  }

  bool acquire(int at, unsigned how) {
    if (at >= kMutexes) {
      mtx_t& mutex = c11_mutexes[at - kMutexes];
      bool timed = (at - kMutexes) % 3 == 1 && how % 4 == 2;
      timespec until = timed ? soon(20) : timespec{};
      return (how % 4 == 0 ? mtx_lock(&mutex)
              : timed      ? mtx_timedlock(&mutex, &until)
                           : mtx_trylock(&mutex)) == thrd_success;
    }
    pthread_mutex_t& mutex = mutexes[at];
    if (how % 4 == 0) return pthread_mutex_lock(&mutex) == 0;
    if (how % 4 == 1) return pthread_mutex_trylock(&mutex) == 0;
    timespec until = soon(20);
    if (how % 4 == 2) return pthread_mutex_timedlock(&mutex, &until) == 0;
    return pthread_mutex_trylock(&mutex) == 0;
  }
  void release(int at) {
    if (at >= kMutexes)
      mtx_unlock(&c11_mutexes[at - kMutexes]);
    else
      pthread_mutex_unlock(&mutexes[at]);
  }
  static bool recursive(int at) {
    return at >= kMutexes ? (at - kMutexes) % 3 == 2
                          : at % int(Type::kCount) == int(Type::kRecursive);
  }

  /// Takes up to `depth` mutexes in ascending order (no deadlock among threads), some of them twice
  /// where they are recursive, and gives them back in random order.
  void burst(std::minstd_rand& random) {
    std::vector<int> held;
    int at = 0;
    unsigned depth = 1 + random() % (random() % 50 == 0 ? 60 : 8);
    if (random() % 4 == 0) at = kMutexes - 20;  // the last ones, and C11's
    for (unsigned i = 0; i < depth; ++i) {
      at += 1 + int(random() % 5);
      if (at >= kMutexes + kC11Mutexes) break;
      if (!acquire(at, unsigned(random()))) continue;
      held.push_back(at);
      if (recursive(at) && random() % 2 == 0 && acquire(at, 0)) held.push_back(at);
    }
    if (random() % 3 == 0) std::shuffle(held.begin(), held.end(), random);
    while (!held.empty()) {
      release(held.back());
      held.pop_back();
    }
  }

  /// The others first, always: no deadlock among threads.
  void burst_of_both(int thread, std::minstd_rand& random) {
    auto taken = others.take_some(thread, 6, thread == kForker, random);
    if (random() % 4 == 0) burst(random);
    others.give_back(thread, taken, random);
  }

  void wait_or_signal(std::minstd_rand& random) {
    unsigned which = random() % 4;
    pthread_mutex_lock(&condition_mutexes[which]);
    if (random() % 2 == 0) {
      timespec until = soon(50);
      pthread_cond_timedwait(&conditions[which], &condition_mutexes[which], &until);
    } else {
      pthread_cond_broadcast(&conditions[which]);
    }
    pthread_mutex_unlock(&condition_mutexes[which]);
  }

  void run(int index) {
    tids[index] = sys::gettid();
    setpriority(PRIO_PROCESS, 0, 10);  // few cores: forker and children shall not starve
    std::minstd_rand random(unsigned(index) * 7919u + 17u);
    while (!stop.load(std::memory_order_relaxed)) {
      if (random() % 2 == 0)
        burst(random);
      else
        burst_of_both(index, random);
      if (random() % 16 == 0) wait_or_signal(random);
    }
  }

  /// In the child: owner words against the tracker.
  void compare(Totals& totals, int forker) const {
    std::vector<int> parents{forker};
    for (const auto& tid : tids) parents.push_back(tid.load());
    std::vector<const void*> expected;
    auto look = [&](const pthread_mutex_t& mutex) {
      int owner = MutexWords(&mutex).owner();
      if (std::find(parents.begin(), parents.end(), owner) != parents.end())
        expected.push_back(&mutex);
    };
    for (const auto& mutex : mutexes) look(mutex);
    for (const auto& mutex : c11_mutexes) look(reinterpret_cast<const pthread_mutex_t&>(mutex));
    for (const auto& mutex : condition_mutexes) look(mutex);
    ForkHeld answer = last_fork_held();
    std::size_t found = 0;
    for (std::uint32_t i = 0; i < answer.count; ++i) {
      auto* address = reinterpret_cast<const void*>(answer.locks[i].address);
      if (address < this || address >= this + 1) continue;  // a lock of the test framework
      if (address >= &others && address < &others + 1) continue;
      if (std::find(expected.begin(), expected.end(), address) == expected.end())
        ++totals.extra;
      else if (MutexWords(address).owner() != answer.locks[i].owner)
        ++totals.wrong_owner;
      else
        ++found;
    }
    totals.held += expected.size();
    totals.missing += expected.size() - found;
    std::int32_t all[StormLocks::kThreads];
    std::copy(tids, tids + kThreads, all);
    all[kForker] = forker;
    others.compare(answer, all, totals.others);
    registry.each([&](const ThreadRecord& thread) {
      totals.dropped += thread.dropped;
      return true;
    });
    ++totals.children;
  }
};

struct Runner {
  Storm* storm;
  int index;
};

void* run_storm(void* argument) {
  auto* runner = static_cast<Runner*>(argument);
  runner->storm->run(runner->index);
  return nullptr;
}

}  // namespace

TEST_CASE("a fork at any instruction sees exactly the locks that threads have", "[storm]") {
  const char* wanted = std::getenv("FORKSCOPE_STORM_FORKS");
  const std::uint64_t forks = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 100'000;
  auto* totals = static_cast<Totals*>(
      mmap(nullptr, sizeof(Totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(totals != MAP_FAILED);
  auto storm = std::make_unique<Storm>();
  pthread_t threads[kThreads];
  Runner runners[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    runners[i] = {storm.get(), i};
    REQUIRE(pthread_create(&threads[i], nullptr, run_storm, &runners[i]) == 0);
  }
  for (auto& tid : storm->tids)
    while (tid.load() == 0) sched_yield();

  int forker = sys::gettid();
  std::minstd_rand random(4711);
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < forks; ++i) {
    if (random() % 2 == 0)
      storm->burst_of_both(kForker, random);  // it holds nothing then, but has used its table
    std::vector<StormLocks::Taken> taken;
    if (random() % 4 == 0) taken = storm->others.take_some(kForker, 4, true, random);
    bool holds = random() % 4 == 0 && pthread_mutex_trylock(&storm->mutexes[0]) == 0;
    pid_t child = fork();
    if (child == 0) {
      storm->compare(*totals, forker);
      _exit(0);
    }
    if (holds) pthread_mutex_unlock(&storm->mutexes[0]);
    storm->others.give_back(kForker, taken, random);
    int status = -1;
    failed += child < 0 || waitpid(child, &status, 0) != child || status != 0;
  }
  storm->stop = true;
  for (auto& thread : threads) pthread_join(thread, nullptr);

  CHECK(failed == 0);
  CHECK(totals->children == forks);
  CHECK(totals->held > forks / 2);  // else the storm was none
  CHECK(totals->missing == 0);
  CHECK(totals->extra == 0);
  CHECK(totals->wrong_owner == 0);
  CHECK(totals->dropped == 0);
  const StormLocks::Totals& others = totals->others;
  CHECK(others.held > forks / 4);
  CHECK(others.readers > forks / 20);
  CHECK(others.missing == 0);
  CHECK(others.extra == 0);
  CHECK(others.too_many == 0);
  WARN("children " << totals->children << ", mutexes held at their forks " << totals->held
                   << ", other locks " << others.held << ", of these for reading " << others.readers
                   << ", being taken or given back " << others.in_transit);
  munmap(totals, sizeof(Totals));
}
