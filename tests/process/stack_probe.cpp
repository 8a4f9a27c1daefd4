// A thread holds a mutex that it took in one of several ways; the child of a fork locks it. Built
// at several optimisation levels: whatever the level, the acquisition stack must be whole.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <latch>
#include <mutex>
#include <thread>

#define NOINLINE [[gnu::noinline]]

namespace {

std::mutex resource;
std::latch held{1}, over{1};

/// Overwrites the stack where the frames of returned wrappers were.
NOINLINE int use_stack(int depth) {
  volatile char bytes[256];
  std::memset(const_cast<char*>(bytes), 0xa5, sizeof bytes);
  return depth == 0 ? bytes[7] : use_stack(depth - 1) + bytes[3];
}

NOINLINE void critical_section() {
  use_stack(8);
  held.count_down();
  over.wait();
  asm volatile("");
}

NOINLINE void my_lock(pthread_mutex_t* mutex) {
  pthread_mutex_lock(mutex);
  asm volatile("");
}

NOINLINE void with_lock_guard() {
  std::lock_guard guard(resource);
  critical_section();
}
NOINLINE void with_unique_lock() {
  std::unique_lock<std::mutex> lock(resource);
  critical_section();
}
NOINLINE void with_deferred_lock() {
  std::unique_lock<std::mutex> lock(resource, std::defer_lock);
  lock.lock();
  critical_section();
}
NOINLINE void with_scoped_lock() {
  std::scoped_lock lock(resource);
  critical_section();
}
NOINLINE void with_wrapper() {
  my_lock(resource.native_handle());
  critical_section();
  pthread_mutex_unlock(resource.native_handle());
}
NOINLINE void with_trylock() {
  while (!resource.try_lock()) {
  }
  critical_section();
  resource.unlock();
}
NOINLINE void with_condition() {
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  timespec past{};
  pthread_mutex_lock(resource.native_handle());
  pthread_cond_timedwait(&condition, resource.native_handle(), &past);
  critical_section();
  pthread_mutex_unlock(resource.native_handle());
}

struct Way {
  const char* name;
  void (*take)();
};
constexpr Way kWays[] = {
    {"lock_guard", with_lock_guard},
    {"unique_lock", with_unique_lock},
    {"deferred_lock", with_deferred_lock},
    {"scoped_lock", with_scoped_lock},
    {"wrapper", with_wrapper},
    {"trylock", with_trylock},
    {"condition", with_condition},
};

NOINLINE void middle(void (*take)()) {
  take();
  asm volatile("");
}
NOINLINE void* outermost(void* way) {
  middle(static_cast<const Way*>(way)->take);
  asm volatile("");
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Way& way : kWays) {
    if (argc < 2 || std::strcmp(argv[1], way.name) != 0) continue;
    pthread_t thread;
    pthread_create(&thread, nullptr, outermost, const_cast<Way*>(&way));
    held.wait();
    pid_t child = fork();
    if (child == 0) {
      resource.lock();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    over.count_down();
    pthread_join(thread, nullptr);
    return WIFSIGNALED(status) ? 0 : 1;  // --on-deadlock=kill
  }
  for (const Way& way : kWays) std::puts(way.name);
  return 2;
}
