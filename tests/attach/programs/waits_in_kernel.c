// A process with one thread that waits in a system call, each mode in another one.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "target.h"

static int listening(int type) {
  const int fd = socket(AF_INET, type, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  check(fd >= 0 && bind(fd, (struct sockaddr*)&any, sizeof any) == 0, "bind");
  if (type == SOCK_STREAM) check(listen(fd, 8) == 0, "listen");
  return fd;
}

static void accept_mode(void) {
  const int fd = listening(SOCK_STREAM);
  this_is_the_target();
  accept(fd, NULL, NULL);
}

static void recvfrom_mode(void) {
  const int fd = listening(SOCK_DGRAM);
  this_is_the_target();
  char byte;
  recvfrom(fd, &byte, 1, 0, NULL, NULL);
}

static void recvfrom_for_an_hour(void) {
  const int fd = listening(SOCK_DGRAM);
  const struct timeval hour = {3600, 0};
  check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof hour) == 0, "setsockopt");
  this_is_the_target();
  char byte;
  recvfrom(fd, &byte, 1, 0, NULL, NULL);
}

static void epoll_mode(void) {
  const int fd = listening(SOCK_STREAM), set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  check(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  this_is_the_target();
  epoll_wait(set, &event, 1, -1);
}

static void poll_mode(void) {
  struct pollfd entry = {listening(SOCK_STREAM), POLLIN, 0};
  this_is_the_target();
  poll(&entry, 1, -1);
}

/// Looks around ten times a second.
static void poll_again_mode(void) {
  struct pollfd entry = {listening(SOCK_STREAM), POLLIN, 0};
  this_is_the_target();
  while (poll(&entry, 1, 100) == 0) {
  }
}

static void select_mode(void) {
  const int fd = listening(SOCK_STREAM);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  this_is_the_target();
  select(fd + 1, &set, NULL, NULL, NULL);
}

static void sleep_mode(void) {
  this_is_the_target();
  sleep(1000);
}

static void read_pipe_mode(void) {
  this_is_the_target();
  read_for_ever();
}

static void read_terminal_mode(void) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
  const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  char byte;
  this_is_the_target();
  check(read(terminal, &byte, 1) == 1, "read");
}

/// A child that waits too; it ends with its parent.
static pid_t child_that_pauses(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  return pid;
}

static void wait4_mode(void) {
  child_that_pauses();
  this_is_the_target();
  wait(NULL);
}

static void waitid_mode(void) {
  child_that_pauses();
  this_is_the_target();
  siginfo_t info;
  waitid(P_ALL, 0, &info, WEXITED);
}

static void on_signal(int number) { (void)number; }

static void sigwait_mode(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int number;
  this_is_the_target();
  sigwait(&set, &number);
}

static void pause_mode(void) {
  signal(SIGUSR1, on_signal);
  this_is_the_target();
  pause();
}

static void sigsuspend_mode(void) {
  signal(SIGUSR1, on_signal);
  sigset_t none;
  sigemptyset(&none);
  this_is_the_target();
  sigsuspend(&none);
}

static int temporary_file(void) {
  char name[] = "/tmp/forkscope-attach-XXXXXX";
  const int fd = mkstemp(name);
  check(fd >= 0, "mkstemp");
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int again = open(path, O_RDWR);  // an open file description of its own
  unlink(name);
  check(again >= 0 && dup2(again, 100) == 100, "open");
  return fd;
}

static void flock_mode(void) {
  const int fd = temporary_file();
  check(flock(100, LOCK_EX) == 0, "flock");
  this_is_the_target();
  flock(fd, LOCK_EX);
}

static void record_lock_mode(void) {
  const int fd = temporary_file();
  struct flock whole = {.l_type = F_WRLCK};
  check(fcntl(fd, F_SETLK, &whole) == 0, "fcntl");
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    this_is_the_target();
    fcntl(fd, F_SETLKW, &whole);
    _exit(1);
  }
  wait(NULL);
}

static sem_t posted_by_handler;

static void post(int number) {
  (void)number;
  sem_post(&posted_by_handler);
}

static void sem_signal_mode(void) {
  sem_init(&posted_by_handler, 0, 0);
  signal(SIGUSR1, post);
  this_is_the_target();
  while (sem_wait(&posted_by_handler) != 0) {
  }
}

static void sem_signal_forked_mode(void) {
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sem_signal_mode();
  }
  wait(NULL);
}

static void stopped_mode(void) {
  this_is_the_target();
  raise(SIGSTOP);
}

static void traced_mode(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    check(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0, "ptrace");
    this_is_the_target();
    raise(SIGTRAP);  // stays stopped: the tracer never lets it go on
    _exit(1);
  }
  int status;
  waitpid(pid, &status, 0);
  for (;;) pause();
}

static void zombie_mode(void) {
  if (fork() == 0) {
    this_is_the_target();
    _exit(0);
  }
  for (;;) pause();
}

static void vfork_parent_mode(void) {
  this_is_the_target();
  if (vfork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    syscall(SYS_pause);
    _exit(0);
  }
}

static void vfork_child_mode(void) {
  if (vfork() == 0) {
    dprintf(1, "target %d\n", (int)syscall(SYS_getpid));
    syscall(SYS_pause);
    _exit(0);
  }
}

static void seccomp_mode(void) {
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  this_is_the_target();
  check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0, "prctl");
  char byte;
  syscall(SYS_read, ends[0], &byte, 1);
}

int main(int argc, char** argv) {
  static const struct Mode modes[] = {{"accept", accept_mode},
                                      {"recvfrom", recvfrom_mode},
                                      {"recvfrom-for-an-hour", recvfrom_for_an_hour},
                                      {"epoll", epoll_mode},
                                      {"poll", poll_mode},
                                      {"poll-again", poll_again_mode},
                                      {"select", select_mode},
                                      {"sleep", sleep_mode},
                                      {"read-pipe", read_pipe_mode},
                                      {"read-terminal", read_terminal_mode},
                                      {"wait4", wait4_mode},
                                      {"waitid", waitid_mode},
                                      {"sigwait", sigwait_mode},
                                      {"pause", pause_mode},
                                      {"sigsuspend", sigsuspend_mode},
                                      {"flock", flock_mode},
                                      {"record-lock", record_lock_mode},
                                      {"sem-signal", sem_signal_mode},
                                      {"sem-signal-forked", sem_signal_forked_mode},
                                      {"stopped", stopped_mode},
                                      {"traced", traced_mode},
                                      {"zombie", zombie_mode},
                                      {"vfork-parent", vfork_parent_mode},
                                      {"vfork-child", vfork_child_mode},
                                      {"seccomp", seccomp_mode}};
  return RUN_MODE(argc, argv, modes);
}
