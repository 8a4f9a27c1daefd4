// What the tables do at their limits: deeper than they are, stale slots, ends of threads.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

using namespace forkscope;

namespace {

/// Runs `check` in a forked child; its result is the child's exit status (0: holds).
int in_child(const std::function<int()>& check) {
  pid_t child = fork();
  if (child == 0) _exit(check());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int held_of(const std::vector<pthread_mutex_t>& mutexes) {
  ForkHeld held = last_fork_held();
  int found = 0;
  for (std::uint32_t i = 0; i < held.count; ++i) {
    auto* address = reinterpret_cast<const pthread_mutex_t*>(held.locks[i].address);
    found += address >= mutexes.data() && address < mutexes.data() + mutexes.size();
  }
  return found;
}

std::vector<pthread_mutex_t> some(std::size_t count) {
  return std::vector<pthread_mutex_t>(count, pthread_mutex_t PTHREAD_MUTEX_INITIALIZER);
}

}  // namespace

TEST_CASE("nesting up to the last deep slot is seen, deeper is counted as dropped") {
  auto mutexes = some(kSlots + kDeepSlots + 25);
  for (auto& mutex : mutexes) pthread_mutex_lock(&mutex);
  CHECK(detail::self->dropped == 25);
  CHECK(in_child([&] { return held_of(mutexes) == int(kSlots + kDeepSlots) ? 0 : 1; }) == 0);
  for (auto& mutex : mutexes) pthread_mutex_unlock(&mutex);
  CHECK(detail::self->dropped == 0);
  CHECK(detail::self->empty());
}

TEST_CASE("any order of unlocking leaves an empty table") {
  auto mutexes = some(kSlots + 30);
  for (std::size_t stride : {1u, 7u, 13u, 43u}) {
    for (auto& mutex : mutexes) pthread_mutex_lock(&mutex);
    for (std::size_t i = 0, at = 0; i < mutexes.size(); ++i, at = (at + stride) % mutexes.size())
      pthread_mutex_unlock(&mutexes[at]);
    CHECK(detail::self->empty());
  }
}

TEST_CASE("a mutex unlocked by another thread is not held") {
  auto mutexes = some(1);
  pthread_mutex_lock(&mutexes[0]);
  std::thread([&] { pthread_mutex_unlock(&mutexes[0]); }).join();
  CHECK(in_child([&] { return held_of(mutexes); }) == 0);
}

TEST_CASE("stale slots are forgotten when the table fills, not added up") {
  auto mutexes = some(kSlots * 10);
  for (auto& mutex : mutexes) {
    pthread_mutex_lock(&mutex);
    std::thread([&] { pthread_mutex_unlock(&mutex); }).join();
  }
  CHECK(detail::self->deep < kDeepSlots);
  CHECK(detail::self->dropped == 0);
  auto fresh = some(3);
  for (auto& mutex : fresh) pthread_mutex_lock(&mutex);
  CHECK(in_child([&] { return held_of(fresh) == 3 ? 0 : 1; }) == 0);
  for (auto& mutex : fresh) pthread_mutex_unlock(&mutex);
}

TEST_CASE("a mutex unmapped while it is recorded does no harm") {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto* mutex = static_cast<pthread_mutex_t*>(page);
  pthread_mutex_init(mutex, nullptr);
  pthread_mutex_lock(mutex);
  munmap(page, 4096);
  CHECK(in_child([&] {
          ForkHeld held = last_fork_held();
          for (std::uint32_t i = 0; i < held.count; ++i)
            if (held.locks[i].address == reinterpret_cast<std::uint64_t>(mutex)) return 1;
          return 0;
        }) == 0);
}

TEST_CASE("shared memory is told from private memory") {
  static int global = 1;
  int local = 1;
  auto heap = std::make_unique<int>(1);
  auto map = [](int flags) {
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    *static_cast<int*>(page) = 1;
    return page;
  };
  CHECK_FALSE(sys::is_shared(&global));
  CHECK_FALSE(sys::is_shared(&local));
  CHECK_FALSE(sys::is_shared(heap.get()));
  CHECK_FALSE(sys::is_shared(map(MAP_PRIVATE)));
  CHECK(sys::is_shared(map(MAP_SHARED)));
}

TEST_CASE("an owner word is compared without reading it") {
  int word = 4711;
  CHECK(sys::equals(&word, 4711));
  CHECK_FALSE(sys::equals(&word, 4712));
  CHECK_FALSE(sys::equals(nullptr, 0));
}

TEST_CASE("a mutex destroyed or initialised anew is not held") {
  auto mutexes = some(1);
  pthread_mutex_lock(&mutexes[0]);
  pthread_mutex_init(&mutexes[0], nullptr);
  CHECK(in_child([&] { return held_of(mutexes); }) == 0);
}

TEST_CASE("a recursive mutex is held until its outermost unlock") {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  auto mutexes = some(1);
  pthread_mutex_init(&mutexes[0], &attributes);
  for (int i = 0; i < 1000; ++i) pthread_mutex_lock(&mutexes[0]);
  for (int i = 0; i < 999; ++i) pthread_mutex_unlock(&mutexes[0]);
  CHECK(in_child([&] { return held_of(mutexes) == 1 ? 0 : 1; }) == 0);
  pthread_mutex_unlock(&mutexes[0]);
  CHECK(in_child([&] { return held_of(mutexes); }) == 0);
}

TEST_CASE("a lock call that fails leaves no record") {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &attributes);
  const Slot* top = detail::self->top;
  pthread_mutex_lock(&mutex);
  CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  pthread_mutex_unlock(&mutex);
  CHECK(pthread_mutex_unlock(&mutex) == EPERM);
  CHECK(detail::self->top == top);
}

TEST_CASE("a thread that ends while it holds a mutex is still its holder") {
  auto mutexes = some(1);
  std::thread([&] { pthread_mutex_lock(&mutexes[0]); }).join();
  CHECK(in_child([&] { return held_of(mutexes) == 1 ? 0 : 1; }) == 0);
}

TEST_CASE("records of threads that ended are used again") {
  std::thread([] {}).join();
  std::uint32_t before = registry.size();
  for (int i = 0; i < 2000; ++i) std::thread([] {}).join();
  CHECK(registry.size() <= before + 1);
  CHECK(process.living == 1);
}

TEST_CASE("thousands of threads are known at a fork, each with its mutex") {
  constexpr std::size_t kMany = 2000;
  auto mutexes = some(kMany);
  std::vector<pthread_t> threads(kMany);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  pthread_barrier_t ready, done;
  pthread_barrier_init(&ready, nullptr, kMany + 1);
  pthread_barrier_init(&done, nullptr, kMany + 1);
  struct Task {
    pthread_mutex_t* mutex;
    pthread_barrier_t *ready, *done;
  };
  std::vector<Task> tasks;
  for (auto& mutex : mutexes) tasks.push_back({&mutex, &ready, &done});
  std::size_t started = 0;
  for (; started < kMany; ++started)
    if (pthread_create(
            &threads[started], &attributes,
            [](void* argument) -> void* {
              auto& task = *static_cast<Task*>(argument);
              pthread_mutex_lock(task.mutex);
              pthread_barrier_wait(task.ready);
              pthread_barrier_wait(task.done);
              pthread_mutex_unlock(task.mutex);
              return nullptr;
            },
            &tasks[started]) != 0)
      break;
  REQUIRE(started == kMany);
  pthread_barrier_wait(&ready);
  CHECK(process.living == kMany + 1);
  // The list has room for fewer; the total counts all.
  CHECK(in_child([&] { return last_fork_held().total == kMany ? 0 : 1; }) <= 1);
  CHECK(in_child([&] { return last_fork_held().count == record::kMaxForkHeld ? 0 : 1; }) == 0);
  pthread_barrier_wait(&done);
  for (auto& thread : threads) pthread_join(thread, nullptr);
  CHECK(process.living == 1);
}
