// Small programs that do what real ones do around fork and exec; shim_test.cpp runs them observed.
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <thread>
#include <vector>

extern char** environ;
extern "C" pid_t _Fork();

namespace {

pthread_mutex_t resource = PTHREAD_MUTEX_INITIALIZER;

int end_of(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A thread that holds `resource` for as long as the process lives.
void hold_resource() {
  static std::latch held{1};
  std::thread([] {
    pthread_setname_np(pthread_self(), "holder");
    pthread_mutex_lock(&resource);
    held.count_down();
    for (;;) pause();
  }).detach();
  held.wait();
}

/// The child locks what the thread holds; with --on-deadlock=exit:N that is its end.
int deadlocking_child() {
  pid_t child = fork();
  if (child == 0) _exit(pthread_mutex_lock(&resource));
  return end_of(child);
}

int deadlock(char**) {
  hold_resource();
  return deadlocking_child();
}

int without_descriptors(char**) {
  hold_resource();
  for (int fd = 0; fd < 1024; ++fd) close(fd);
  for (int fd = 0; fd < 8; ++fd) open("/dev/null", O_RDWR);  // and reused
  return deadlocking_child();
}

int in_a_jail(char**) {
  hold_resource();
  if (chroot("/var/empty") != 0 && chroot("/proc/self/fdinfo") != 0) return 99;
  if (chdir("/") != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 98;
  clearenv();
  return deadlocking_child();
}

/// Replaces itself by `arguments`, with an empty environment.
int exec_clean(char** arguments) {
  char* const none[] = {nullptr};
  execve(arguments[0], arguments, none);
  return 97;
}

int exec_each_way(char** arguments) {
  const char* path = arguments[0];
  int failed = 0;
  for (int way = 0; way < 8; ++way) {
    pid_t child = fork();
    if (child == 0) {
      char* const list[] = {arguments[0], arguments[1], nullptr};
      if (way == 0) execve(path, list, environ);
      if (way == 1) execv(path, list);
      if (way == 2) execvp(path, list);
      if (way == 3) execvpe(path, list, environ);
      if (way == 4) execl(path, path, arguments[1], static_cast<char*>(nullptr));
      if (way == 5) execlp(path, path, arguments[1], static_cast<char*>(nullptr));
      if (way == 6) execle(path, path, arguments[1], static_cast<char*>(nullptr), environ);
      if (way == 7) fexecve(open(path, O_RDONLY | O_CLOEXEC), list, environ);
      _exit(96);
    }
    failed += end_of(child) != 0;
  }
  return failed;
}

int exec_fails(char**) {
  errno = 0;
  execl("/nonexistent/program", "program", static_cast<char*>(nullptr));
  return errno == ENOENT ? 0 : 1;
}

int vfork_often(char** arguments) {
  int failed = 0;
  for (int i = 0; i < 1000; ++i) {
    volatile int canary = i;
    pid_t child = vfork();
    if (child == 0) {
      execv(arguments[0], arguments);
      _exit(95);
    }
    failed += canary != i || end_of(child) != 0;
  }
  return failed != 0;
}

int spawn(char** arguments) {
  pid_t child = 0;
  char* const none[] = {nullptr};
  if (posix_spawn(&child, arguments[0], nullptr, nullptr, arguments, none) != 0) return 94;
  return end_of(child);
}

int shell(char** arguments) {
  int status = std::system(arguments[0]);
  FILE* pipe = popen(arguments[0], "r");
  return WEXITSTATUS(status) + (pipe != nullptr ? WEXITSTATUS(pclose(pipe)) : 1);
}

int clone_child(char**) {
  hold_resource();
  static char stack[64 << 10];
  auto child_main = [](void*) -> int { _exit(pthread_mutex_lock(&resource)); };
  return end_of(clone(child_main, stack + sizeof stack, SIGCHLD, nullptr));
}

int bare_fork(char**) {
  hold_resource();
  pid_t child = _Fork();
  if (child == 0) _exit(pthread_mutex_lock(&resource));
  return end_of(child);
}

int pty_child(char**) {
  hold_resource();
  int terminal = -1;
  pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) _exit(pthread_mutex_lock(&resource));
  return end_of(child);
}

int fork_from_thread(char**) {
  hold_resource();
  int status = -1;
  std::thread([&] { status = deadlocking_child(); }).join();
  return status;
}

/// A lock that is protected as POSIX says: 200 forks while a thread keeps taking it.
int protected_lock(char**) {
  pthread_atfork([] { pthread_mutex_lock(&resource); }, [] { pthread_mutex_unlock(&resource); },
                 [] { pthread_mutex_unlock(&resource); });
  std::thread([] {
    for (;;) {
      pthread_mutex_lock(&resource);
      pthread_mutex_unlock(&resource);
    }
  }).detach();
  int failed = 0;
  for (int i = 0; i < 200; ++i) {
    pid_t child = fork();
    if (child == 0) _exit(pthread_mutex_lock(&resource));
    failed += end_of(child) != 0;
  }
  return failed != 0;
}

/// A child handler that makes a held lock new.
int repaired_lock(char**) {
  hold_resource();
  pthread_atfork(nullptr, nullptr, [] { pthread_mutex_init(&resource, nullptr); });
  return deadlocking_child();
}

int only_tries(char**) {
  hold_resource();
  pid_t child = fork();
  if (child == 0) _exit(pthread_mutex_trylock(&resource) == EBUSY ? 0 : 1);
  return end_of(child);
}

/// A thread is cancelled in pthread_cond_wait, with the mutex taken again for its cleanup.
int cancelled_wait(char**) {
  static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  static std::latch waiting{1};
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        pthread_mutex_lock(&resource);
        pthread_cleanup_push([](void*) { pthread_mutex_unlock(&resource); }, nullptr);
        waiting.count_down();
        for (;;) pthread_cond_wait(&never, &resource);
        pthread_cleanup_pop(1);
        return nullptr;
      },
      nullptr);
  waiting.wait();
  pthread_cancel(thread);
  pthread_join(thread, nullptr);
  pid_t child = fork();
  if (child == 0) _exit(pthread_mutex_lock(&resource));
  return end_of(child);
}

int keeps_errno(char**) {
  errno = 4711;
  pthread_mutex_lock(&resource);
  pthread_mutex_unlock(&resource);
  std::thread([] {}).join();
  if (errno != 4711) return 1;
  pid_t child = fork();
  if (child == 0) _exit(errno == 4711 ? 0 : 1);
  return errno == 4711 ? end_of(child) : 2;
}

/// As a daemon: the child goes on alone, with other descriptors.
int becomes_daemon(char** arguments) {
  hold_resource();
  pid_t child = fork();
  if (child != 0) return end_of(child);
  if (daemon(0, 0) != 0) _exit(1);
  int done = open(arguments[0], O_WRONLY | O_CREAT, 0600);
  _exit(done < 0);
}

/// clone() does not give the child a TID of its own in libc's eyes: a recursive mutex goes on.
int recursive_in_clone(char**) {
  static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
  static char stack[64 << 10];
  hold_resource();
  auto child_main = [](void*) -> int {
    _exit(pthread_mutex_lock(&recursive) | pthread_mutex_lock(&recursive) |
          pthread_mutex_unlock(&recursive) | pthread_mutex_unlock(&recursive));
  };
  return end_of(clone(child_main, stack + sizeof stack, SIGCHLD, nullptr));
}

/// POSIX does not allow it and glibc does it: another thread of the child unlocks the mutex, once
/// it sees in /proc that the child's main thread waits.
int opened_by_another_thread(char**) {
  hold_resource();
  pid_t child = fork();
  if (child == 0) {
    std::thread([] {
      char line[64];
      do {
        FILE* call = std::fopen("/proc/self/syscall", "r");  // of the main thread
        if (call == nullptr || std::fgets(line, sizeof line, call) == nullptr) _exit(90);
        std::fclose(call);
        sched_yield();
      } while (std::strncmp(line, "202 ", 4) != 0);  // futex
      pthread_mutex_unlock(&resource);
    }).detach();
    _exit(pthread_mutex_lock(&resource));
  }
  return end_of(child);
}

/// As a sandbox that allows a process little more than to compute and to end.
int sandboxed(char**) {
#define ALLOW(call) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          ALLOW(SYS_exit_group),
                          ALLOW(SYS_read),
                          ALLOW(SYS_write),
                          ALLOW(SYS_futex),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
#undef ALLOW
  sock_fprog program{sizeof filter / sizeof filter[0], filter};
  pthread_mutex_lock(&resource);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    return 89;
  pthread_mutex_unlock(&resource);
  return 0;
}

int small_address_space(char**) {
  rlimit limit{200u << 20, 200u << 20};
  if (setrlimit(RLIMIT_AS, &limit) != 0) return 88;
  return std::malloc(100u << 20) == nullptr;
}

int bad_pointers(char**) {
  auto* bad = reinterpret_cast<char*>(8);
  errno = 0;
  execv(bad, environ);
  if (errno != EFAULT) return 1;
  errno = 0;
  execve(nullptr, environ, environ);
  return errno == EFAULT ? 0 : 2;
}

int prints_environment(char**) {
  for (char** one = environ; *one != nullptr; ++one) std::puts(*one);
  return 0;
}

struct Mode {
  const char* name;
  int (*run)(char** arguments);
};
constexpr Mode kModes[] = {
    {"nothing", [](char**) { return 0; }},
    {"deadlock", deadlock},
    {"without-descriptors", without_descriptors},
    {"in-a-jail", in_a_jail},
    {"exec-clean", exec_clean},
    {"exec-each-way", exec_each_way},
    {"exec-fails", exec_fails},
    {"vfork-often", vfork_often},
    {"spawn", spawn},
    {"shell", shell},
    {"clone", clone_child},
    {"_Fork", bare_fork},
    {"forkpty", pty_child},
    {"fork-from-thread", fork_from_thread},
    {"protected-lock", protected_lock},
    {"repaired-lock", repaired_lock},
    {"only-tries", only_tries},
    {"cancelled-wait", cancelled_wait},
    {"keeps-errno", keeps_errno},
    {"daemon", becomes_daemon},
    {"recursive-in-clone", recursive_in_clone},
    {"opened-by-another-thread", opened_by_another_thread},
    {"sandboxed", sandboxed},
    {"small-address-space", small_address_space},
    {"bad-pointers", bad_pointers},
    {"environment", prints_environment},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Mode& mode : kModes)
    if (argc > 1 && std::strcmp(argv[1], mode.name) == 0) return mode.run(argv + 2);
  return 2;
}
