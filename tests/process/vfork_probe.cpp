// What vfork children do, and waits on futex words made by number; process_test.cpp runs it.
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace {

pthread_mutex_t resource = PTHREAD_MUTEX_INITIALIZER;
char* const true_arguments[] = {const_cast<char*>("true"), nullptr};

int end_of(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// What a correct one does: descriptors, signals, exec.
int vfork_clean() {
  pid_t child = vfork();
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(1, 17);
    close(17);
    setsid();
    execve("/bin/true", true_arguments, environ);
    _exit(127);
  }
  return end_of(child);
}

int vfork_exec_fails() {
  pid_t child = vfork();
  if (child == 0) {
    execve("/nonexistent", true_arguments, environ);
    _exit(errno == ENOENT ? 5 : 6);
  }
  return end_of(child) == 5 ? 0 : 1;
}

/// Twice: one note for each vfork, not for each call. The parent's own locks go on as ever.
int vfork_locks() {
  pid_t child = vfork();
  if (child == 0) {
    pthread_mutex_lock(&resource);
    pthread_mutex_unlock(&resource);
    pthread_mutex_lock(&resource);
    pthread_mutex_unlock(&resource);
    _exit(0);
  }
  int status = end_of(child);
  return status | pthread_mutex_lock(&resource) | pthread_mutex_unlock(&resource);
}

int vfork_forks() {
  pid_t child = vfork();
  if (child == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) _exit(pthread_mutex_lock(&resource) | pthread_mutex_unlock(&resource));
    _exit(end_of(grandchild));
  }
  return end_of(child);
}

int vfork_vforks() {
  pid_t child = vfork();
  if (child == 0) {
    pid_t grandchild = vfork();
    if (grandchild == 0) execve("/bin/true", true_arguments, environ);
    int status = -1;
    waitpid(grandchild, &status, 0);
    _exit(status);
  }
  return end_of(child);
}

int vfork_spawns() {
  pid_t child = vfork();
  if (child == 0) {
    pid_t grandchild = -1;
    if (posix_spawn(&grandchild, "/bin/true", nullptr, nullptr, true_arguments, environ) != 0)
      _exit(1);
    _exit(end_of(grandchild));
  }
  return end_of(child);
}

int vfork_starts_thread() {
  pid_t child = vfork();
  if (child == 0) {
    pthread_t thread;
    pthread_attr_t huge;  // no stack, no thread: one would run on in this memory
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, std::size_t{1} << 50);
    auto run = [](void* nothing) { return nothing; };
    _exit(pthread_create(&thread, &huge, run, nullptr) == EAGAIN ? 0 : 1);
  }
  return end_of(child);
}

// -- futex
// -----------------------------------------------------------------------------------------

long futex(int* word, int operation, int value) {
  return syscall(SYS_futex, word, operation, value, nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
}

int* word_in(int flags) {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  return static_cast<int*>(memory);
}

/// A thread that wakes `word` and stays, so that the process has one to lose.
void start_waker(int* word) {
  static int* volatile target;
  static pthread_barrier_t woken;
  target = word;
  pthread_barrier_init(&woken, nullptr, 2);
  pthread_t thread;
  auto run = [](void*) -> void* {
    pthread_setname_np(pthread_self(), "waker");
    futex(target, FUTEX_WAKE_PRIVATE, INT_MAX);
    pthread_barrier_wait(&woken);
    for (;;) pause();
  };
  pthread_create(&thread, nullptr, run, nullptr);
  pthread_barrier_wait(&woken);
}

extern "C" [[gnu::noinline]] long wait_by_number(int* word, int operation) {
  long result = futex(word, operation, 0);
  return result == 0 ? 0 : errno;
}

int lost_wait(int operation) {
  int* word = word_in(MAP_PRIVATE);
  start_waker(word);
  pid_t child = fork();
  if (child == 0) _exit(int(wait_by_number(word, operation)));
  return end_of(child);
}

int futex_lost() { return lost_wait(FUTEX_WAIT_PRIVATE); }
int futex_lost_bitset() { return lost_wait(FUTEX_WAIT_BITSET); }

/// The word lies in shared memory, and the parent wakes the child.
int futex_shared() {
  int* word = word_in(MAP_SHARED);
  start_waker(word);
  pid_t child = fork();
  if (child == 0) _exit(int(wait_by_number(word, FUTEX_WAIT)));
  while (futex(word, FUTEX_WAKE, 1) == 0) sched_yield();
  return end_of(child);
}

/// The word is no longer what is waited for, or the wait has a limit: nobody waits for ever.
int futex_returns() {
  int* word = word_in(MAP_PRIVATE);
  start_waker(word);
  pid_t child = fork();
  if (child == 0) {
    *word = 1;
    if (wait_by_number(word, FUTEX_WAIT_PRIVATE) != EAGAIN) _exit(1);
    timespec little{0, 1000};
    long result = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, &little, nullptr, 0);
    _exit(result == -1 && errno == ETIMEDOUT ? 0 : 2);
  }
  return end_of(child);
}

/// A thread waits while another forks: the list of threads says so. The word is woken as soon as
/// somebody sleeps there.
int futex_roster() {
  static int* word = word_in(MAP_PRIVATE);
  pthread_t thread;
  auto run = [](void*) -> void* {
    pthread_setname_np(pthread_self(), "sleeper");
    wait_by_number(word, FUTEX_WAIT_PRIVATE);
    return nullptr;
  };
  pthread_create(&thread, nullptr, run, nullptr);
  // Moves the sleeper to another word, once it is there: it is inside its call for certain.
  while (syscall(SYS_futex, word, FUTEX_REQUEUE_PRIVATE, 0, 1, word + 1, 0) != 1) sched_yield();
  pid_t child = fork();
  if (child == 0) _exit(0);
  int status = end_of(child);
  futex(word + 1, FUTEX_WAKE_PRIVATE, 1);
  pthread_join(thread, nullptr);
  return status;
}

struct Mode {
  const char* name;
  int (*run)();
};
constexpr Mode kModes[] = {
    {"vfork-clean", vfork_clean},
    {"vfork-exec-fails", vfork_exec_fails},
    {"vfork-locks", vfork_locks},
    {"vfork-forks", vfork_forks},
    {"vfork-vforks", vfork_vforks},
    {"vfork-spawns", vfork_spawns},
    {"vfork-starts-thread", vfork_starts_thread},
    {"futex-lost", futex_lost},
    {"futex-lost-bitset", futex_lost_bitset},
    {"futex-shared", futex_shared},
    {"futex-returns", futex_returns},
    {"futex-roster", futex_roster},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Mode& mode : kModes)
    if (argc > 1 && std::strcmp(argv[1], mode.name) == 0) return mode.run();
  return 2;
}
