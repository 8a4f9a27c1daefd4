// What fork_probe_test runs: programs whose children would hang, or would not, and one that looks
// whether it can notice probes. Standard output is written with write(2): a thread may be inside
// malloc for good.
//
//   fork_probe_program held          a thread keeps a lock that a real child has taken
//   fork_probe_program protected     the same, given up now and then, and taken by at-fork handlers
//   fork_probe_program unused        a thread keeps a lock that no child takes
//   fork_probe_program tried         a thread keeps a lock that a real child only tries
//   fork_probe_program repaired      a thread keeps a lock that a real child makes anew, and takes
//   fork_probe_program malloc-libc   a thread allocates and writes to a stream without end
//   fork_probe_program objects       a thread is inside dl_iterate_phdr
//   fork_probe_program callback      locks are taken in callbacks of libc, and then outside of them
//   fork_probe_program unnoticed     prints what could tell of a probe
//   fork_probe_program forbidden     a sandbox refuses the prctl of a probe
#include <dirent.h>
#include <errno.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <string>

namespace probed {

pthread_mutex_t wanted_lock = PTHREAD_MUTEX_INITIALIZER;  ///< that a child takes
pthread_mutex_t other_lock = PTHREAD_MUTEX_INITIALIZER;   ///< whose calls probes are made at

}  // namespace probed

namespace {

using namespace probed;

sem_t has_it, may_end;
constexpr int kCalls = 30;

void say(const char* format, ...) {
  char line[256];
  va_list list;
  va_start(list, format);
  const int size = vsnprintf(line, sizeof line, format, list);
  va_end(list);
  if (write(1, line, size_t(size)) != size) _exit(9);
}

[[gnu::noinline]] void touch_other() {
  pthread_mutex_lock(&other_lock);
  pthread_mutex_unlock(&other_lock);
}

void touch_often() {
  for (int i = 0; i < kCalls; ++i) touch_other();
}

/// A child of the program: act() between fork and its end.
template <typename Act>
void fork_child(Act&& act) {
  const pid_t child = fork();
  if (child == 0) {
    act();
    _exit(0);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) _exit(8);
}

[[gnu::noinline]] void child_work() {
  pthread_mutex_lock(&wanted_lock);
  pthread_mutex_unlock(&wanted_lock);
}

[[gnu::noinline]] void* keep_wanted(void*) {
  pthread_mutex_lock(&wanted_lock);
  sem_post(&has_it);
  while (sem_wait(&may_end) != 0) {
  }
  pthread_mutex_unlock(&wanted_lock);
  return nullptr;
}

/// Nobody's: only so that the program has threads.
void* idle(void*) {
  while (sem_wait(&may_end) != 0) {
  }
  return nullptr;
}

template <typename Work>
int with_thread(void* (*routine)(void*), Work&& work) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, routine, nullptr) != 0) return 1;
  work();
  sem_post(&may_end);
  return pthread_join(thread, nullptr);
}

/// The real children are forked beside an idle thread: a process without threads loses none.
template <typename Act>
int held_while_probed(Act&& in_child) {
  with_thread(idle, [&] { fork_child(in_child); });
  return with_thread(keep_wanted, [] {
    while (sem_wait(&has_it) != 0) {
    }
    touch_often();
  });
}

void lock_wanted() { pthread_mutex_lock(&wanted_lock); }
void unlock_wanted() { pthread_mutex_unlock(&wanted_lock); }

std::atomic<bool> stop{false};

int protected_while_probed() {
  pthread_atfork(lock_wanted, unlock_wanted, unlock_wanted);
  with_thread(idle, [] { fork_child(child_work); });
  return with_thread(
      [](void*) -> void* {
        while (!stop) {
          lock_wanted();
          unlock_wanted();
          sched_yield();  // an unlocked mutex goes to who is running
        }
        while (sem_wait(&may_end) != 0) {
        }
        return nullptr;
      },
      [] {
        touch_often();
        stop = true;
      });
}

int libc_while_probed() {
  return with_thread(
      [](void*) -> void* {
        FILE* nowhere = fopen("/dev/null", "w");
        while (!stop) {
          void* volatile memory = malloc(5000);
          free(memory);
          fprintf(nowhere, "%d\n", 1);
        }
        fclose(nowhere);
        while (sem_wait(&may_end) != 0) {
        }
        return nullptr;
      },
      [] {
        touch_often();
        stop = true;
      });
}

int objects_while_probed() {
  return with_thread(
      [](void*) -> void* {
        dl_iterate_phdr(
            [](dl_phdr_info*, size_t, void*) {
              sem_post(&has_it);
              while (sem_wait(&may_end) != 0) {
              }
              return 1;
            },
            nullptr);
        return nullptr;
      },
      [] {
        while (sem_wait(&has_it) != 0) {
        }
        touch_often();
      });
}

[[gnu::noinline]] void touch_inside() {
  pthread_mutex_lock(&other_lock);
  pthread_mutex_unlock(&other_lock);
}

int in_callbacks() {
  return with_thread(idle, [] {
    int values[] = {3, 1, 2};
    qsort(values, 3, sizeof values[0], [](const void* a, const void* b) {
      touch_inside();
      return *static_cast<const int*>(a) - *static_cast<const int*>(b);
    });
    struct sigaction action = {};
    action.sa_handler = [](int) { touch_inside(); };
    sigaction(SIGUSR1, &action, nullptr);
    raise(SIGUSR1);
    touch_other();
  });
}

// -- what a program could notice

std::atomic<int> signals{0}, prepared{0}, in_parent{0}, in_child{0};

/// The numbers of all open descriptors, and of those in the lists of children of all threads.
std::string seen() {
  std::string text;
  DIR* folder = opendir("/proc/self/fd");
  const int own = dirfd(folder);
  while (const dirent* entry = readdir(folder))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != own)
      text += std::string(entry->d_name) + " ";
  closedir(folder);
  text += "children:";
  folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    const std::string path = std::string("/proc/self/task/") + entry->d_name + "/children";
    if (FILE* file = fopen(path.c_str(), "r")) {
      char line[64];
      while (fgets(line, sizeof line, file) != nullptr) text += line;
      fclose(file);
    }
  }
  closedir(folder);
  return text;
}

std::atomic<int> traps{0};
void on_trap(int) { ++traps; }

int look_for_probes() {
  pthread_atfork([] { ++prepared; }, [] { ++in_parent; }, [] { ++in_child; });
  struct sigaction action = {}, before = {}, after = {};
  action.sa_handler = [](int) { ++signals; };
  sigaction(SIGCHLD, &action, nullptr);
  action.sa_handler = on_trap;
  action.sa_flags = SA_NODEFER | SA_ONSTACK;
  sigaddset(&action.sa_mask, SIGUSR2);
  sigaction(SIGSYS, &action, nullptr);
  sigaction(SIGSYS, nullptr, &before);
  sigset_t blocked, mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGSYS);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  raise(SIGSYS);  // stays pending
  const std::string first = seen();
  bool nobody = true;
  int error = 0;
  with_thread(idle, [&] {
    for (int i = 0; i < kCalls; ++i) {
      errno = 77;
      touch_other();
      if (errno != 77) error = errno;
      nobody = nobody && waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
    }
    say("again: %s\n", seen() == first ? "the same" : seen().c_str());
  });
  sigaction(SIGSYS, nullptr, &after);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  say("SIGCHLD: %d\n", signals.load());
  say("waitpid: %s\n", nobody ? "ECHILD" : "a child");
  say("errno: %s\n", error == 0 ? "kept" : strerror(error));
  say("SIGSYS: %s\n", after.sa_handler == on_trap && after.sa_flags == before.sa_flags &&
                              memcmp(&after.sa_mask, &before.sa_mask, 8) == 0
                          ? "the same"
                          : "another");
  sigset_t pending;
  sigpending(&pending);
  say("pending: %s\n", sigismember(&pending, SIGSYS) == 1 && traps == 0 ? "the same" : "delivered");
  say("mask: %s\n", memcmp(&mask, &blocked, 8) == 0 ? "the same" : "another");
  say("handlers: %s\n", prepared == in_parent && in_child == 0 ? "in balance" : "not in balance");
  say("probed: %s\n", prepared > 0 ? "yes" : "no");
  fork_child([] {});
  for (int i = 0; i < 1000 && signals == 0; ++i) sched_yield();
  say("own child: %d\n", signals.load());
  return 0;
}

int in_sandbox() {
  const sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 59, 0, 1),  // PR_SET_SYSCALL_USER_DISPATCH
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof filter / sizeof filter[0], const_cast<sock_filter*>(filter)};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    return 7;
  return look_for_probes();
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  sem_init(&has_it, 0, 0);
  sem_init(&may_end, 0, 0);
  if (what == "held") return held_while_probed(child_work);
  if (what == "unused") return held_while_probed([] {});
  if (what == "tried")
    return held_while_probed([] {
      if (pthread_mutex_trylock(&wanted_lock) == 0) pthread_mutex_unlock(&wanted_lock);
    });
  if (what == "repaired")
    return held_while_probed([] {
      pthread_mutex_init(&wanted_lock, nullptr);
      child_work();
    });
  if (what == "protected") return protected_while_probed();
  if (what == "malloc-libc") return libc_while_probed();
  if (what == "objects") return objects_while_probed();
  if (what == "callback") return in_callbacks();
  if (what == "unnoticed") return look_for_probes();
  if (what == "forbidden") return in_sandbox();
  return 2;
}
