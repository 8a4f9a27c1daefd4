// Programs with at-fork handlers; atfork_test.cpp runs them bare and observed. Those that go well
// print what their handlers did, which must be the same both ways.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

extern "C" pid_t _Fork();
extern "C" int __register_atfork(void (*)(), void (*)(), void (*)(), void*) noexcept;

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t lock_rw = PTHREAD_RWLOCK_INITIALIZER;
pthread_mutex_t lock_recursive;

extern "C" {
#define NAMED [[gnu::noinline]] void
NAMED take_a() { pthread_mutex_lock(&lock_a); }
NAMED give_a() { pthread_mutex_unlock(&lock_a); }
NAMED take_b() { pthread_mutex_lock(&lock_b); }
NAMED give_b() { pthread_mutex_unlock(&lock_b); }
NAMED read_rw() { pthread_rwlock_rdlock(&lock_rw); }
NAMED give_rw() { pthread_rwlock_unlock(&lock_rw); }
NAMED take_recursive() { pthread_mutex_lock(&lock_recursive); }
NAMED give_recursive() { pthread_mutex_unlock(&lock_recursive); }
/// As libgomp does: no function is called that could be interposed.
NAMED wait_unseen() {
  static int word = 0;
  register long timeout asm("r10") = 0;
  while (__atomic_load_n(&word, __ATOMIC_RELAXED) == 0) {
    long result = SYS_futex;
    asm volatile("syscall"
                 : "+a"(result)
                 : "D"(&word), "S"(128L), "d"(0L), "r"(timeout)  // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
                 : "rcx", "r11", "memory");
  }
}
}

namespace {

/// Each open() lets one wait() pass; no futex and no mutex of libc's.
class Gate {
 public:
  void open() { eventfd_write(event_, 1); }
  void wait() {
    eventfd_t value;
    while (eventfd_read(event_, &value) != 0) continue;
  }

 private:
  int event_ = eventfd(0, EFD_SEMAPHORE);
};

std::string trace;
void say(char what) { trace += what; }

int end_of(pid_t child) {
  int status = -1;
  if (child < 0) return -1;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Forks a child that prints its trace and exits; prints the parent's.
int fork_and_tell() {
  trace.clear();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    std::printf("child %s\n", trace.c_str());
    std::fflush(stdout);
    _exit(7);
  }
  const int end = end_of(child);
  std::printf("parent %s, child ended with %d\n", trace.c_str(), end);
  return end == 7 ? 0 : 1;
}

int fork_once() {
  const pid_t child = fork();
  if (child == 0) _exit(7);
  return end_of(child) == 7 ? 0 : 1;
}

/// Whether the thread sleeps in futex(2) at the object; `for_ever`: without a time limit.
bool sleeps_at(pid_t tid, const void* object, bool for_ever = false) {
  char path[64], text[256] = "";
  std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return false;
  const bool read = std::fgets(text, sizeof text, file) != nullptr;
  std::fclose(file);
  char want[64];
  std::snprintf(want, sizeof want, "202 0x%lx ", reinterpret_cast<unsigned long>(object));
  if (!read || std::strncmp(text, want, std::strlen(want)) != 0) return false;
  unsigned long timeout = 1;
  std::sscanf(text, "%*s %*s %*s %*s %lx", &timeout);
  return !for_ever || timeout == 0;
}

pid_t own_tid() { return pid_t(syscall(SYS_gettid)); }

/// A thread that takes locks, lets the main thread fork, and gives them back when that waits for
/// `awaited`, or, without one, when it is told to.
template <typename Take, typename Give>
int fork_beside(Take take, const void* awaited, Give give) {
  Gate has, told;
  const pid_t forker = own_tid();
  std::thread thread([&] {
    pthread_setname_np(pthread_self(), "other");
    take();
    has.open();
    if (awaited == nullptr)
      told.wait();
    else
      while (!sleeps_at(forker, awaited)) sched_yield();
    give();
  });
  has.wait();
  const int result = fork_once();
  told.open();
  thread.join();
  return result;
}

// ---- what must be the same ----------------------------------------------------------------------

template <char Name>
void say_name() {
  say(Name);
}

int order() {
  pthread_atfork(say_name<'a'>, say_name<'b'>, say_name<'c'>);
  pthread_atfork(say_name<'d'>, nullptr, say_name<'f'>);
  pthread_atfork(nullptr, say_name<'h'>, nullptr);
  pthread_atfork(nullptr, nullptr, nullptr);
  pthread_atfork(say_name<'a'>, say_name<'b'>, say_name<'c'>);
  return fork_and_tell();
}

int many() {
  for (int i = 0; i < 300; ++i) pthread_atfork(say_name<'p'>, say_name<'q'>, say_name<'r'>);
  return fork_and_tell();
}

/// Each for another object, so that no two are the same.
int too_many() {
  static char objects[300];
  for (char& object : objects)
    __register_atfork(say_name<'p'>, say_name<'q'>, say_name<'r'>, &object);
  return fork_and_tell();
}

int keeps_errno() {
  pthread_atfork(
      [] {
        say(errno == ENOTTY ? '=' : '!');
        errno = EDOM;
      },
      [] {
        say(errno == EDOM ? '=' : '!');
        errno = ERANGE;
      },
      [] {});
  errno = ENOTTY;
  const pid_t child = fork();
  const int error = errno;
  if (child == 0) _exit(7);
  end_of(child);
  std::printf("%s %s\n", trace.c_str(), error == ERANGE ? "ERANGE" : "other");
  return 0;
}

int registers_inside() {
  pthread_atfork(
      [] {
        say('1');
        pthread_atfork(say_name<'2'>, say_name<'3'>, say_name<'4'>);
      },
      say_name<'5'>, say_name<'6'>);
  return fork_and_tell() | fork_and_tell();
}

int depth = 0;
int nested() {
  pthread_atfork(
      [] {
        say('(');
        if (++depth == 1) {
          const pid_t child = fork();
          if (child == 0) _exit(5);
          say(end_of(child) == 5 ? '5' : '!');
        }
        --depth;
        say(')');
      },
      say_name<'p'>, say_name<'c'>);
  return fork_and_tell() | fork_and_tell();
}

std::jmp_buf back;
bool jumps = true;
int jumps_out() {
  pthread_atfork(
      [] {
        if (jumps) std::longjmp(back, 1);
        take_a();
      },
      give_a, give_a);
  if (setjmp(back) == 0) fork();
  jumps = false;
  take_b();
  give_b();
  return fork_and_tell() | fork_once();
}

int exits_in_handler() {
  pthread_atfork(nullptr, nullptr, [] { _exit(9); });
  const pid_t child = fork();
  std::printf("%d\n", end_of(child));
  return 0;
}

int forks_at_once() {
  static std::atomic<int> prepared{0}, done{0};
  pthread_atfork(
      [] {
        ++prepared;
        take_a();
      },
      [] {
        give_a();
        ++done;
      },
      give_a);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int i = 0; i < 12; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 25; ++n) failed += fork_once();
    });
  for (std::thread& thread : threads) thread.join();
  std::printf("%d %d %d\n", prepared.load(), done.load(), failed.load());
  return failed;
}

}  // namespace

extern "C" [[gnu::visibility("default")]] void plugin_ran(int phase) { say(char('0' + phase)); }

namespace {

/// More often than there are trampolines.
int plugins(const char* path) {
  for (int i = 0; i < 300; ++i) {
    void* plugin = dlopen(path, RTLD_NOW);
    if (plugin == nullptr) return 1;
    if (i % 100 == 99 && fork_and_tell() != 0) return 1;
    dlclose(plugin);
  }
  return fork_and_tell();
}

// ---- what is found ------------------------------------------------------------------------------

int protects() {
  pthread_atfork(take_a, give_a, give_a);
  pthread_atfork(read_rw, give_rw, give_rw);
  std::thread([] {
    take_a();
    give_a();
  }).join();
  return fork_once();
}

int waits_in_ring() {
  pthread_atfork(take_b, give_b, give_b);
  pthread_atfork(take_a, give_a, give_a);  // runs first
  Gate has;
  const pid_t forker = own_tid();
  std::thread([&] {
    pthread_setname_np(pthread_self(), "other");
    take_b();
    has.open();
    while (!sleeps_at(forker, &lock_b)) sched_yield();
    take_a();
  }).detach();
  has.wait();
  return fork_once();
}

int registered_twice() {
  pthread_atfork(take_a, give_a, give_a);
  pthread_atfork(take_a, give_a, give_a);
  return fork_once();
}

/// The other thread goes on only when the handler's wait is one without limit, as the library's is
/// when its patience is over.
int waits_long() {
  pthread_atfork(take_a, give_a, give_a);
  const pid_t forker = own_tid();
  return fork_beside(take_a, &lock_a, [&] {
    while (!sleeps_at(forker, &lock_a, true)) sched_yield();
    give_a();
  });
}

int waits_in_child() {
  pthread_atfork(nullptr, nullptr, take_a);
  return fork_beside(take_a, nullptr, [] { give_a(); });
}

int waits_unseen_in_child() {
  pthread_atfork(nullptr, nullptr, wait_unseen);
  return fork_beside([] {}, nullptr, [] {});
}

int inverted() {
  pthread_atfork(take_b, give_b, give_b);
  pthread_atfork(take_a, give_a, give_a);
  return fork_beside(
      [] {
        take_b();
        take_a();
      },
      &lock_a,
      [] {
        give_a();
        give_b();
      });
}

int same_order() {
  pthread_atfork(take_b, give_b, give_b);
  pthread_atfork(take_a, give_a, give_a);
  return fork_beside(
      [] {
        take_a();
        take_b();
      },
      &lock_a,
      [] {
        give_b();
        give_a();
      });
}

int gated() {
  pthread_atfork(take_b, give_b, give_b);
  pthread_atfork(take_a, give_a, give_a);
  pthread_atfork([] { pthread_mutex_lock(&gate_lock); }, [] { pthread_mutex_unlock(&gate_lock); },
                 [] { pthread_mutex_unlock(&gate_lock); });
  return fork_beside(
      [] {
        pthread_mutex_lock(&gate_lock);
        take_b();
        take_a();
      },
      &gate_lock,
      [] {
        give_a();
        give_b();
        pthread_mutex_unlock(&gate_lock);
      });
}

int tried() {
  pthread_atfork(take_b, give_b, give_b);
  pthread_atfork(take_a, give_a, give_a);
  return fork_beside(
      [] {
        take_b();
        pthread_mutex_trylock(&lock_a);
      },
      &lock_a,
      [] {
        give_a();
        give_b();
      });
}

/// Held in the order of the handlers, although the table's slots are not.
int unlocked_out_of_order() {
  pthread_atfork(take_b, give_b, give_b);
  pthread_atfork(take_a, give_a, give_a);
  return fork_beside(
      [] {
        pthread_mutex_lock(&gate_lock);
        take_a();
        take_b();
        pthread_mutex_unlock(&gate_lock);
      },
      &lock_a,
      [] {
        give_b();
        give_a();
      });
}

int left_in_parent() {
  pthread_atfork(take_a, nullptr, give_a);
  return fork_once();
}

int left_in_child() {
  pthread_atfork(take_a, give_a, nullptr);
  return fork_once();
}

int initialised_in_child() {
  pthread_atfork(take_a, give_a, [] { pthread_mutex_init(&lock_a, nullptr); });
  pthread_atfork(take_b, give_b, [] { lock_b = PTHREAD_MUTEX_INITIALIZER; });
  return fork_once();
}

int stale_in_child() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&lock_recursive, &attributes);
  pthread_atfork(take_recursive, give_recursive, give_recursive);
  return fork_once();
}

int late() {
  return fork_beside([] {}, nullptr, [] { pthread_atfork(take_a, give_a, give_a); });
}

int after_single_threaded() {
  const int result = fork_once();
  pthread_atfork(take_a, give_a, give_a);
  return result | fork_once();
}

int passed_by() {
  pthread_atfork(take_a, give_a, give_a);
  Gate told;
  std::thread thread([&] { told.wait(); });
  const pid_t child = _Fork();
  if (child == 0) _exit(7);
  const int end = end_of(child);
  told.open();
  thread.join();
  return end == 7 ? 0 : 1;
}

constexpr std::pair<std::string_view, int (*)()> kModes[] = {
    {"order", order},
    {"many", many},
    {"too-many", too_many},
    {"errno", keeps_errno},
    {"inside", registers_inside},
    {"nested", nested},
    {"longjmp", jumps_out},
    {"exit", exits_in_handler},
    {"at-once", forks_at_once},
    {"protects", protects},
    {"ring", waits_in_ring},
    {"twice", registered_twice},
    {"long", waits_long},
    {"child", waits_in_child},
    {"futex", waits_unseen_in_child},
    {"inverted", inverted},
    {"same-order", same_order},
    {"gated", gated},
    {"tried", tried},
    {"out-of-order", unlocked_out_of_order},
    {"left-parent", left_in_parent},
    {"left-child", left_in_child},
    {"initialised", initialised_in_child},
    {"stale", stale_in_child},
    {"late", late},
    {"single", after_single_threaded},
    {"passed-by", passed_by},
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "plugins" && argc > 2) return plugins(argv[2]);
  for (const auto& [name, run] : kModes)
    if (name == mode) return run();
  return 2;
}
