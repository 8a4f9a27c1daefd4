// What must run under the library as it runs alone: programs that forbid themselves the clock or
// system calls, that limit their memory, or that look at their own mappings.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kLocks = 200 };
static pthread_mutex_t locks[kLocks];
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static int ready[2];

/// Often enough that the library looks at the time of a use, and with more locks held than its
/// table has room for, which makes it ask the kernel.
static void use_locks(void) {
  for (int round = 0; round < 1000; ++round)
    for (int i = 0; i < kLocks; ++i) {
      pthread_mutex_lock(&locks[i]);
      pthread_mutex_unlock(&locks[i]);
      pthread_rwlock_rdlock(&shared);
      pthread_rwlock_unlock(&shared);
    }
  for (int i = 0; i < kLocks; ++i) pthread_mutex_lock(&locks[i]);
  for (int i = 0; i < kLocks; ++i) pthread_mutex_unlock(&locks[i]);
}

static void* stay(void* unused) {
  use_locks();
  if (write(ready[1], "x", 1) != 1) _exit(80);
  pause();
  return unused;
}

#define ALLOW(call) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define KILL(call)                               \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static void put_on(struct sock_filter* code, size_t length, int by_number) {
  struct sock_fprog program = {(unsigned short)length, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(81);
  long result = by_number ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)
                          : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  if (result != 0) _exit(82);
}

/// What a fork needs, and no clock, pid, futex or file.
static void allow_little(int by_number) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      ALLOW(SYS_exit_group),
      ALLOW(SYS_clone),
      ALLOW(SYS_wait4),
      ALLOW(SYS_set_robust_list),
      ALLOW(SYS_rt_sigprocmask),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  put_on(code, sizeof code / sizeof code[0], by_number);
}

static int forks_and_locks(void) {
  pid_t child = fork();
  if (child == 0) {
    use_locks();
    _exit(0);
  }
  int status = 1;
  waitpid(child, &status, 0);
  return status;
}

/// Whether memory that may be read is mapped over what the file of records does not have.
static int reads_beyond_records(void) {
  FILE* maps = fopen("/proc/self/maps", "r");
  char line[4352], rights[5], path[4096];
  unsigned long begin, end, offset;
  int seen = 0, beyond = 0;
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %4095s", &begin, &end, rights, &offset, path) != 5 ||
        strlen(path) < 8 || strcmp(path + strlen(path) - 8, "/records") != 0)
      continue;
    struct stat info;
    if (stat(path, &info) != 0) return 83;
    seen = 1;
    if (rights[0] == 'r' && offset + (end - begin) > (unsigned long)info.st_size) beyond = 1;
  }
  return seen ? beyond : 84;
}

static void* names_itself(void* name) {
  if (prctl(PR_SET_NAME, name, 0, 0, 0) != 0) _exit(85);
  pthread_mutex_lock(&locks[0]);
  if (write(ready[1], "x", 1) != 1) _exit(80);
  pause();
  return name;
}

static int orphans_lock_of_named(void) {
  pthread_t thread;
  char byte;
  pthread_create(&thread, NULL, names_itself, "by-prctl");
  if (read(ready[0], &byte, 1) != 1) return 86;
  pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(&locks[0]);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  return 0;
}

static void* count(void* of) {
  for (int i = 0; i < 200; ++i) {
    pthread_mutex_lock(&locks[i % 8]);
    pthread_mutex_unlock(&locks[i % 8]);
    pthread_rwlock_wrlock(&shared);
    ++*(int*)of;
    pthread_rwlock_unlock(&shared);
  }
  return NULL;
}

static int counts_in_threads_and_forks(void) {
  pthread_t threads[3];
  int counted = 0, status = 0;
  for (int i = 0; i < 3; ++i) pthread_create(&threads[i], NULL, count, &counted);
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, &status, 0);
  for (int i = 0; i < 3; ++i) pthread_join(threads[i], NULL);
  return status != 0 || counted != 600;
}

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  for (int i = 0; i < kLocks; ++i) pthread_mutex_init(&locks[i], NULL);
  if (pipe(ready) != 0) return 87;
  if (strcmp(mode, "maps") == 0) return reads_beyond_records();
  if (strcmp(mode, "named") == 0) return orphans_lock_of_named();
  if (strcmp(mode, "counts") == 0) return counts_in_threads_and_forks();
  if (strcmp(mode, "chroot") == 0 && argc > 3) {
    if (chroot(argv[2]) != 0 || chdir("/") != 0) return 88;
    execv(argv[3], argv + 3);
    return 89;
  }
  if (strcmp(mode, "exec-in-filter") == 0 && argc > 2) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        KILL(SYS_getppid), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    put_on(code, sizeof code / sizeof code[0], 0);
    execv(argv[2], argv + 2);
    return 90;
  }
  pthread_t other;  // with which the library keeps a history of uses
  char byte;
  pthread_create(&other, NULL, stay, NULL);
  if (read(ready[0], &byte, 1) != 1) return 91;
  use_locks();
  if (strcmp(mode, "no-counter") == 0) prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
  if (strcmp(mode, "filter") == 0) allow_little(0);
  if (strcmp(mode, "filter-by-number") == 0) allow_little(1);
  use_locks();
  if (strcmp(mode, "strict") == 0) {  // of all threads but one little could be said
    pid_t child = fork();
    if (child == 0) {
      if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) syscall(SYS_exit, 92);
      use_locks();
      syscall(SYS_exit, 0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    _exit(status != 0);
  }
  _exit(forks_and_locks() != 0);
}
