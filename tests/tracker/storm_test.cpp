// Threads storm hundreds of mutexes of every type while another thread forks: in every child the
// tracker's answer must be exactly the mutexes whose frozen owner word names a thread of the
// parent.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/sys.hpp"

using namespace forkscope;

namespace {

constexpr int kThreads = 4;
constexpr int kMutexes = 350;

struct Totals {  // in shared memory: children add to it
  std::atomic<std::uint64_t> children, held, missing, extra, wrong_owner;
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
  pthread_cond_t conditions[4];
  pthread_mutex_t condition_mutexes[4];
  std::atomic<bool> stop{false};
  std::atomic<int> tids[kThreads] = {};

  Storm() {
    for (int i = 0; i < kMutexes; ++i) init_mutex(mutexes[i], Type(i % int(Type::kCount)));
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

  bool acquire(pthread_mutex_t& mutex, unsigned how) {
    if (how % 4 == 0) return pthread_mutex_lock(&mutex) == 0;
    if (how % 4 == 1) return pthread_mutex_trylock(&mutex) == 0;
    timespec until = soon(20);
    if (how % 4 == 2) return pthread_mutex_timedlock(&mutex, &until) == 0;
    return pthread_mutex_trylock(&mutex) == 0;
  }

  /// Takes up to `depth` mutexes in ascending order (no deadlock among threads), some of them twice
  /// where they are recursive, and gives them back in random order.
  void burst(std::minstd_rand& random) {
    std::vector<int> held;
    int at = 0;
    unsigned depth = 1 + random() % (random() % 50 == 0 ? 60 : 8);
    for (unsigned i = 0; i < depth; ++i) {
      at += 1 + int(random() % 5);
      if (at >= kMutexes) break;
      if (!acquire(mutexes[at], unsigned(random()))) continue;
      held.push_back(at);
      if (at % int(Type::kCount) == int(Type::kRecursive) && random() % 2 == 0 &&
          pthread_mutex_lock(&mutexes[at]) == 0)
        held.push_back(at);
    }
    if (random() % 3 == 0) std::shuffle(held.begin(), held.end(), random);
    while (!held.empty()) {
      pthread_mutex_unlock(&mutexes[held.back()]);
      held.pop_back();
    }
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
      burst(random);
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
    for (const auto& mutex : condition_mutexes) look(mutex);
    ForkHeld answer = last_fork_held();
    std::size_t found = 0;
    for (std::uint32_t i = 0; i < answer.count; ++i) {
      auto* address = reinterpret_cast<const void*>(answer.locks[i].address);
      if (address < this || address >= this + 1) continue;  // a lock of the test framework
      if (std::find(expected.begin(), expected.end(), address) == expected.end())
        ++totals.extra;
      else if (MutexWords(address).owner() != answer.locks[i].owner)
        ++totals.wrong_owner;
      else
        ++found;
    }
    totals.held += expected.size();
    totals.missing += expected.size() - found;
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

TEST_CASE("a fork at any instruction sees exactly the mutexes owned by threads", "[storm]") {
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
      storm->burst(random);  // the forker holds nothing, but has used its table
    bool holds = random() % 4 == 0 && pthread_mutex_trylock(&storm->mutexes[0]) == 0;
    pid_t child = fork();
    if (child == 0) {
      storm->compare(*totals, forker);
      _exit(0);
    }
    if (holds) pthread_mutex_unlock(&storm->mutexes[0]);
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
  WARN("children " << totals->children << ", locks held at their forks " << totals->held);
  munmap(totals, sizeof(Totals));
}
