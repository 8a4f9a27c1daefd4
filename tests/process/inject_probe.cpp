// What inject_test runs: a thread that takes a lock again and again, for an instant each time, and
// forks whose children say whether they found it taken.
//
//   inject_probe KIND FORKS [FIRST] prints "taken N of FORKS"; the lock is left alone until the fork
//                                   of that number (1) is the next
//   inject_probe handlers FORKS     the same, with at-fork handlers that take the mutex themselves
//   inject_probe calls              what fails and delays are tried on: one line for each call
//   inject_probe libc FUNCTION FORKS  a thread in FUNCTION; prints "ended N of FORKS": children
//   that
//                                   came back from it, the others are killed
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <string>

#include "preload/include/forkscope/annotate.h"

namespace probe {

pthread_mutex_t plain_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t recursive_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
pthread_rwlock_t rw_lock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t spin_lock;
sem_t permit;
mtx_t c11_lock;
pthread_cond_t never = PTHREAD_COND_INITIALIZER;
std::atomic<int> own_lock{0};

}  // namespace probe

namespace {

using namespace probe;

std::atomic<bool> go{false}, stop{false};

/// The time between two critical sections: a thousand times that inside.
void pause_a_bit() { poll(nullptr, 0, 1); }

struct Kind {
  const char* name;
  void (*use)();    ///< takes it and gives it back
  bool (*taken)();  ///< in the child; does not wait
};

[[gnu::noinline]] void use_plain() {
  pthread_mutex_lock(&plain_lock);
  pthread_mutex_unlock(&plain_lock);
}

void wait_with_limit() {
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  pthread_mutex_lock(&plain_lock);
  pthread_cond_timedwait(&never, &plain_lock, &until);  // gives the mutex up, and takes it again
  pthread_mutex_unlock(&plain_lock);
}

const Kind kKinds[] = {
    {"mutex", use_plain, [] { return pthread_mutex_trylock(&plain_lock) != 0; }},
    {"recursive",
     [] {
       pthread_mutex_lock(&recursive_lock);
       pthread_mutex_lock(&recursive_lock);
       pthread_mutex_unlock(&recursive_lock);
       pthread_mutex_unlock(&recursive_lock);
     },
     [] { return pthread_mutex_trylock(&recursive_lock) != 0; }},
    {"reader",
     [] {
       pthread_rwlock_rdlock(&rw_lock);
       pthread_rwlock_unlock(&rw_lock);
     },
     [] { return pthread_rwlock_trywrlock(&rw_lock) != 0; }},
    {"writer",
     [] {
       pthread_rwlock_wrlock(&rw_lock);
       pthread_rwlock_unlock(&rw_lock);
     },
     [] { return pthread_rwlock_tryrdlock(&rw_lock) != 0; }},
    {"spin",
     [] {
       pthread_spin_lock(&spin_lock);
       pthread_spin_unlock(&spin_lock);
     },
     [] { return pthread_spin_trylock(&spin_lock) != 0; }},
    {"semaphore",
     [] {
       sem_wait(&permit);
       sem_post(&permit);
     },
     [] { return sem_trywait(&permit) != 0; }},
    {"c11",
     [] {
       mtx_lock(&c11_lock);
       mtx_unlock(&c11_lock);
     },
     [] { return mtx_trylock(&c11_lock) != thrd_success; }},
    {"condition", wait_with_limit, [] { return pthread_mutex_trylock(&plain_lock) != 0; }},
    {"custom",
     [] {
       FORKSCOPE_LOCK_ACQUIRING(&own_lock);
       int free = 0;
       while (!own_lock.compare_exchange_weak(free, 1)) free = 0;
       FORKSCOPE_LOCK_ACQUIRED(&own_lock);
       FORKSCOPE_LOCK_RELEASING(&own_lock);
       own_lock = 0;
     },
     [] { return own_lock.load() != 0; }},
};

void* loop(void* kind) {
  while (!go.load()) pause_a_bit();
  while (!stop.load()) {
    static_cast<const Kind*>(kind)->use();
    pause_a_bit();
  }
  return nullptr;
}

int count_taken(const Kind& kind, int forks, int first = 1) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, loop, const_cast<Kind*>(&kind)) != 0) return 3;
  int taken = 0;
  for (int i = 1; i <= forks; ++i) {
    if (i == first) go = true;
    errno = 77;
    const pid_t child = fork();
    if (child == 0) _exit(kind.taken() ? 1 : 0);
    if (errno != 77) return 4;
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 5;
    taken += WEXITSTATUS(status);
  }
  stop = true;
  pthread_join(thread, nullptr);
  printf("taken %d of %d\n", taken, forks);
  return 0;
}

// -- functions of libc

const std::pair<const char*, void (*)()> kFunctions[] = {
    {"setenv", [] { setenv("INJECT_PROBE", "a longer value than the one before", 1); }},
    {"localtime_r",
     [] {
       const time_t now = 1'700'000'000;
       tm into;
       localtime_r(&now, &into);
     }},
    {"setlocale", [] { setlocale(LC_ALL, "C"); }},
};

void (*function_of(const std::string& name))() {
  for (const auto& [known, function] : kFunctions)
    if (name == known) return function;
  return nullptr;
}

void* call_now_and_then(void* function) {
  while (!stop.load()) {
    reinterpret_cast<void (*)()>(function)();
    pause_a_bit();
  }
  return nullptr;
}

/// A child that hangs is given a third of a second, and then killed.
bool ends(pid_t child) {
  for (int i = 0; i < 300; ++i) {
    if (waitpid(child, nullptr, WNOHANG) == child) return true;
    poll(nullptr, 0, 1);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return false;
}

int count_ended(const std::string& name, int forks) {
  auto function = function_of(name);
  pthread_t thread;
  if (function == nullptr ||
      pthread_create(&thread, nullptr, call_now_and_then, reinterpret_cast<void*>(function)) != 0)
    return 3;
  int ended = 0;
  for (int i = 0; i < forks; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      function();
      _exit(0);
    }
    ended += ends(child);
  }
  stop = true;
  pthread_join(thread, nullptr);
  printf("ended %d of %d\n", ended, forks);
  return 0;
}

// -- calls that are to fail

void tell(const char* call, int result, int error) {
  printf("%s %d %s\n", call, result, error == 0 ? "-" : strerrorname_np(error));
  fflush(stdout);
}

void* nothing(void*) { return nullptr; }

int reaped(pid_t child) {
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
  return child > 0 ? 1 : int(child);
}

int call_each() {
  errno = 0;
  pid_t child = fork();
  if (child == 0) _exit(0);
  tell("fork", reaped(child), errno);
  errno = 0;
  child = vfork();
  if (child == 0) _exit(0);
  tell("vfork", reaped(child), errno);
  errno = 0;
  static char stack[64 << 10];
  child = clone([](void*) { return 0; }, stack + sizeof stack, SIGCHLD, nullptr);
  tell("clone", reaped(child), errno);
  char program[] = "true";
  char* const arguments[] = {program, nullptr};
  errno = 0;
  const int spawned = posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environ);
  if (spawned == 0) waitpid(child, nullptr, 0);
  tell("posix_spawn", spawned, errno);
  errno = 0;
  child = fork();
  if (child == 0) {
    execve("/bin/true", arguments, environ);
    _exit(errno);
  }
  int status = -1;
  if (child > 0) waitpid(child, &status, 0);
  tell("exec", child > 0 ? WEXITSTATUS(status) : -1, 0);
  errno = 0;
  pthread_t thread;
  const int created = pthread_create(&thread, nullptr, nothing, nullptr);
  if (created == 0) pthread_join(thread, nullptr);
  tell("pthread_create", created, errno);
  thrd_t c11;
  const int made = thrd_create(
      &c11, [](void*) { return 0; }, nullptr);
  if (made == thrd_success) thrd_join(c11, nullptr);
  tell("thrd_create", made == thrd_success ? 0 : 1, 0);
  int busy = pthread_mutex_trylock(&plain_lock);
  if (busy == 0) pthread_mutex_unlock(&plain_lock);
  tell("pthread_mutex_trylock", busy, 0);
  busy = mtx_trylock(&c11_lock);
  if (busy == thrd_success) mtx_unlock(&c11_lock);
  tell("mtx_trylock", busy == thrd_busy ? 1 : 0, 0);
  errno = 0;
  busy = sem_trywait(&permit);
  if (busy == 0) sem_post(&permit);
  tell("sem_trywait", busy, errno);
  busy = pthread_rwlock_trywrlock(&rw_lock);
  if (busy == 0) pthread_rwlock_unlock(&rw_lock);
  tell("pthread_rwlock_trywrlock", busy, 0);
  busy = pthread_spin_trylock(&spin_lock);
  if (busy == 0) pthread_spin_unlock(&spin_lock);
  tell("pthread_spin_trylock", busy, 0);
  busy = ftrylockfile(stderr);
  if (busy == 0) funlockfile(stderr);
  tell("ftrylockfile", busy == 0 ? 0 : 1, 0);
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 3600;
  busy = pthread_mutex_timedlock(&plain_lock, &until);
  if (busy == 0) pthread_mutex_unlock(&plain_lock);
  tell("pthread_mutex_timedlock", busy, 0);
  errno = 0;
  busy = sem_timedwait(&permit, &until);
  if (busy == 0) sem_post(&permit);
  tell("sem_timedwait", busy, errno);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  pthread_spin_init(&spin_lock, PTHREAD_PROCESS_PRIVATE);
  sem_init(&permit, 0, 1);
  mtx_init(&c11_lock, mtx_plain);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "calls") return call_each();
  if (mode == "libc" && argc == 4) return count_ended(argv[2], atoi(argv[3]));
  if (argc < 3) return 2;
  if (mode == "handlers") {
    pthread_atfork([] { pthread_mutex_lock(&plain_lock); },
                   [] { pthread_mutex_unlock(&plain_lock); },
                   [] { pthread_mutex_unlock(&plain_lock); });
    return count_taken(kKinds[0], atoi(argv[2]));
  }
  for (const Kind& kind : kKinds)
    if (mode == kind.name)
      return count_taken(kind, atoi(argv[2]), argc > 3 ? atoi(argv[3]) : 1);
  return 2;
}
