// Creates a process in each way there is; process_test.cpp runs it bare and observed. Every way has
// a function of its own, which the report must name as the caller.
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern char** environ;
extern "C" pid_t _Fork();
extern "C" pid_t __fork();
extern "C" pid_t __vfork();

namespace {

constexpr int kStatus = 7;  // of every child
bool limited = false;       // no child can be created

alignas(16) char stack[256 << 10];
char* const stack_end = stack + sizeof stack;
char* const shell[] = {const_cast<char*>("sh"), const_cast<char*>("-c"),
                       const_cast<char*>("exit 7"), nullptr};

int clone_main(void*) { _exit(kStatus); }

/// For a child that returns from syscall() on an empty stack of its own: where to.
[[noreturn]] void on_new_stack() { _exit(kStatus); }
unsigned long new_stack() {
  auto* top = reinterpret_cast<std::uintptr_t*>(stack_end) - 4;
  *top = reinterpret_cast<std::uintptr_t>(&on_new_stack);
  return reinterpret_cast<unsigned long>(top);
}

const clone_args* clone3_arguments(std::uint64_t flags) {
  static clone_args arguments{};
  arguments.flags = flags;
  arguments.exit_signal = SIGCHLD;
  return &arguments;
}

/// Gives the exit status of a child that ends with kStatus, -1 when there is none.
int end_of(long child) {
  int status = -1;
  if (child < 0) return -1;
  while (waitpid(pid_t(child), &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define CHILD_EXITS(call)         \
  long child = call;              \
  if (child == 0) _exit(kStatus); \
  return end_of(child)

}  // namespace

extern "C" {
#define WAY [[gnu::noinline]] int
WAY by_fork() { CHILD_EXITS(fork()); }
WAY by___fork() { CHILD_EXITS(__fork()); }
WAY by__Fork() { CHILD_EXITS(_Fork()); }
WAY by_vfork() { CHILD_EXITS(vfork()); }
WAY by___vfork() { CHILD_EXITS(__vfork()); }
WAY by_clone() { return end_of(clone(clone_main, stack_end, SIGCHLD, nullptr)); }
WAY by_clone_vm() { return end_of(clone(clone_main, stack_end, CLONE_VM | SIGCHLD, nullptr)); }
WAY by_clone_vfork() {
  return end_of(clone(clone_main, stack_end, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr));
}
WAY by_syscall_fork() { CHILD_EXITS(syscall(SYS_fork)); }
WAY by_syscall_vfork() { CHILD_EXITS(syscall(SYS_vfork)); }
WAY by_syscall_clone() { CHILD_EXITS(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }
WAY by_syscall_clone_stack() { return end_of(syscall(SYS_clone, SIGCHLD, new_stack(), 0, 0, 0)); }
WAY by_syscall_clone_vm() {
  CHILD_EXITS(syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0));
}
WAY by_syscall_clone_vm_stack() {
  return end_of(syscall(SYS_clone, CLONE_VM | SIGCHLD, new_stack(), 0, 0, 0));
}
WAY by_syscall_clone3() {
  CHILD_EXITS(syscall(SYS_clone3, clone3_arguments(0), sizeof(clone_args)));
}
WAY by_syscall_clone3_vm() {
  CHILD_EXITS(syscall(SYS_clone3, clone3_arguments(CLONE_VM | CLONE_VFORK), sizeof(clone_args)));
}
WAY by_posix_spawn() {
  pid_t child = -1;
  errno = posix_spawn(&child, "/bin/sh", nullptr, nullptr, shell, environ);
  return errno != 0 ? -1 : end_of(child);
}
WAY by_posix_spawnp() {
  pid_t child = -1;
  errno = posix_spawnp(&child, "sh", nullptr, nullptr, shell, environ);
  return errno != 0 ? -1 : end_of(child);
}
WAY by_system() {
  errno = 0;
  int status = std::system("exit 7");
  return errno != 0 && status == 127 << 8 ? -1 : WEXITSTATUS(status);
}
WAY by_popen() {
  FILE* pipe = popen("exit 7", "r");
  return pipe == nullptr ? -1 : WEXITSTATUS(pclose(pipe));
}
WAY by_wordexp() {
  wordexp_t words{};
  int error = wordexp("$(echo 7)", &words, 0);
  int status = error == 0 && words.we_wordc == 1 ? std::atoi(words.we_wordv[0]) : 1;
  if (error == WRDE_NOSPACE) return errno = EAGAIN, -1;  // all that it says
  wordfree(&words);
  return status;
}
WAY by_forkpty() {
  int terminal = -1;
  long child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) _exit(kStatus);
  int status = end_of(child);
  int error = errno;
  close(terminal);
  errno = error;
  return status;
}
WAY by_daemon() {
  if (limited) return daemon(1, 1);  // which comes back here only when it fails
  int done[2];
  char status = 1, rest;
  if (pipe(done) != 0) return status;
  pid_t child = fork();
  if (child == 0) {
    status = daemon(1, 1) == 0 ? kStatus : 1;
    _exit(write(done[1], &status, 1) != 1);
  }
  close(done[1]);
  if (end_of(child) != 0 || read(done[0], &status, 1) != 1) status = 2;
  while (read(done[0], &rest, 1) > 0) continue;  // until the daemon is over
  close(done[0]);
  return status;
}
}

namespace {

struct Way {
  const char* name;
  int (*run)();
};
constexpr Way kWays[] = {
    {"fork", by_fork},
    {"__fork", by___fork},
    {"_Fork", by__Fork},
    {"vfork", by_vfork},
    {"__vfork", by___vfork},
    {"clone", by_clone},
    {"clone_vm", by_clone_vm},
    {"clone_vfork", by_clone_vfork},
    {"syscall_fork", by_syscall_fork},
    {"syscall_vfork", by_syscall_vfork},
    {"syscall_clone", by_syscall_clone},
    {"syscall_clone_stack", by_syscall_clone_stack},
    {"syscall_clone_vm", by_syscall_clone_vm},
    {"syscall_clone_vm_stack", by_syscall_clone_vm_stack},
    {"syscall_clone3", by_syscall_clone3},
    {"syscall_clone3_vm", by_syscall_clone3_vm},
    {"posix_spawn", by_posix_spawn},
    {"posix_spawnp", by_posix_spawnp},
    {"system", by_system},
    {"popen", by_popen},
    {"wordexp", by_wordexp},
    {"forkpty", by_forkpty},
    {"daemon", by_daemon},
};

const Way* way(const char* name) {
  for (const Way& one : kWays)
    if (std::strcmp(one.name, name) == 0) return &one;
  std::fprintf(stderr, "no way %s\n", name);
  std::exit(2);
}

int once(char** names) {
  int status = way(names[0])->run();
  return status == kStatus ? 0 : status;
}

/// A thousand children; what lies on the stack around the calls is what it was.
int often(char** names) {
  const Way& one = *way(names[0]);
  volatile unsigned before[64];
  for (unsigned i = 0; i < 64; ++i) before[i] = i * 2654435761u;
  for (int i = 0; i < 1000; ++i)
    if (one.run() != kStatus) return 3;
  for (unsigned i = 0; i < 64; ++i)
    if (before[i] != i * 2654435761u) return 4;
  return 0;
}

/// No process can be created: says for each way what came of it.
int fail(char**) {
  limited = true;
  rlimit none{0, 0};
  if (setrlimit(RLIMIT_NPROC, &none) != 0) return 5;
  if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 6;
  for (const Way& one : kWays) {
    errno = 0;
    int result = one.run();
    std::printf("%s: %d, %s\n", one.name, result, std::strerror(errno));
  }
  return 0;
}

/// The shell, and what it runs, after the program took all out of its environment.
int cleared(char** arguments) {
  clearenv();
  char command[4096];
  std::snprintf(command, sizeof command, "exec %s once fork", arguments[0]);
  int status = std::system(command);
  return environ != nullptr && *environ != nullptr ? 8 : WEXITSTATUS(status);
}

#define EXPECT(condition) \
  if (!(condition)) return __LINE__ % 251 + 1

/// syscall() with up to six arguments, its results and errno.
int arguments(char** names) {
  long page = sysconf(_SC_PAGESIZE);
  int file = memfd_create("pages", 0);
  EXPECT(ftruncate(file, 2 * page) == 0 && pwrite(file, "x", 1, page + 5) == 1);
  errno = 4711;
  long mapped = syscall(SYS_mmap, nullptr, page, PROT_READ, MAP_PRIVATE, file, page);
  EXPECT(mapped > 0 && reinterpret_cast<char*>(mapped)[5] == 'x' && errno == 4711);
  EXPECT(syscall(SYS_madvise, mapped, page, MADV_DONTFORK) == 0);
  EXPECT(syscall(SYS_madvise, mapped + 1, page, MADV_DONTFORK) == -1 && errno == EINVAL);
  EXPECT(syscall(SYS_read, -1, names, 1) == -1 && errno == EBADF);
  EXPECT(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL);
  EXPECT(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL);
  EXPECT(syscall(SYS_clone, CLONE_VM | CLONE_NEWNS | CLONE_FS, new_stack(), 0, 0, 0) == -1);
  EXPECT(errno == EINVAL);
  EXPECT(syscall(SYS_clone3, nullptr, sizeof(clone_args)) == -1 && errno == EFAULT);
  EXPECT(syscall(SYS_clone3, names, 8) == -1 && errno == EINVAL);
  EXPECT(syscall(-1L) == -1 && errno == ENOSYS);

  int words[2] = {1, 2};
  timespec little{0, 1000};
  EXPECT(syscall(SYS_futex, words, FUTEX_WAIT, 5, nullptr) == -1 && errno == EAGAIN);
  EXPECT(syscall(SYS_futex, words, FUTEX_WAIT_PRIVATE, 1, &little) == -1 && errno == ETIMEDOUT);
  EXPECT(syscall(SYS_futex, nullptr, FUTEX_WAIT, 1, nullptr) == -1 && errno == EFAULT);
  EXPECT(syscall(SYS_futex, words, FUTEX_WAKE, 1) == 0);
  EXPECT(syscall(SYS_futex, words, FUTEX_CMP_REQUEUE, 1, 1, words + 1, 9) == -1 && errno == EAGAIN);
  EXPECT(syscall(SYS_futex, words, FUTEX_CMP_REQUEUE, 1, 1, words + 1, 1) == 0);
  EXPECT(syscall(SYS_futex, words, 77, 0, nullptr) == -1 && errno == ENOSYS);

  errno = 0;
  EXPECT(syscall(SYS_execve, "/nonexistent", names, environ) == -1 && errno == ENOENT);
  EXPECT(syscall(SYS_execveat, -1, "", names, environ, 0) == -1 && errno == ENOENT);
  pid_t child = fork();
  if (child == 0) syscall(SYS_exit_group, 9);
  EXPECT(end_of(child) == 9);
  child = fork();
  if (child == 0) syscall(SYS_exit, 8);
  EXPECT(end_of(child) == 8);
  child = fork();
  if (child == 0) syscall(SYS_execve, "/bin/sh", shell, environ);
  EXPECT(end_of(child) == kStatus);
  return 0;
}

struct Mode {
  const char* name;
  int (*run)(char** names);
};
constexpr Mode kModes[] = {
    {"once", once},       {"often", often},         {"fail", fail},
    {"cleared", cleared}, {"arguments", arguments},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Mode& mode : kModes)
    if (argc > 1 && std::strcmp(argv[1], mode.name) == 0) return mode.run(argv + 2);
  return 2;
}
