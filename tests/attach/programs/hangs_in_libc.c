// Two threads call a function of libc over and over, a third forks until a child finds the lock of
// that function taken. Gives up after a minute: then glibc resets that lock in the child, and there
// is nothing to see.
#define _GNU_SOURCE
#include <fcntl.h>
#include <iconv.h>
#include <link.h>
#include <locale.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>

#include "target.h"

static void call_localtime(void) {
  const time_t now = 1700000000;
  struct tm local;
  tzset();
  localtime_r(&now, &local);
}

static void call_setenv(void) { setenv("FORKSCOPE_ATTACH", "1", 1); }
static void call_random(void) { random(); }

static int no_object(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)info, (void)size, (void)unused;
  return 0;
}

static void call_iterate(void) { dl_iterate_phdr(no_object, NULL); }
static void call_setlocale(void) { setlocale(LC_ALL, "C"); }

static void call_getpwuid(void) {
  struct passwd entry, *found;
  char text[4096];
  getpwuid_r(0, &entry, text, sizeof text, &found);
}

static void call_iconv_open(void) {
  const iconv_t to = iconv_open("UTF-16", "ISO-8859-1");
  if (to != (iconv_t)-1) iconv_close(to);
}

static void (*function)(void);

static void* calls_it(void* unused) {
  (void)unused;
  for (;;) function();
  return NULL;
}

/// Reads a file of the process's in /proc; an empty text if there is none.
static void read_proc(pid_t pid, const char* name, char* text, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  const int fd = open(path, O_RDONLY);
  const ssize_t read_size = read(fd, text, size - 1);
  text[read_size > 0 ? read_size : 0] = 0;
  close(fd);
}

static int sleeps(pid_t pid) {
  char text[8];
  read_proc(pid, "syscall", text, sizeof text);
  return text[0] != 0 && text[0] != 'r';  // "running"
}

/// Has it used more processor time than ten calls can?
static int spins(pid_t pid) {
  char text[64];
  read_proc(pid, "schedstat", text, sizeof text);
  return strtoull(text, NULL, 10) > 50000000;  // nanoseconds
}

/// A child that comes back from the call closes the pipe within two seconds, or hangs. Locks that
/// are copied in the middle of a hand-over make it spin, which is another case.
static int hangs(void) {
  int ends[2];
  check(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 10; ++i) function();
    _exit(0);
  }
  close(ends[1]);
  struct pollfd entry = {ends[0], POLLIN, 0};
  int ended = 0;
  for (int i = 0; i < 100 && ended == 0 && !spins(pid); ++i) ended = poll(&entry, 1, 20);
  close(ends[0]);
  if (ended == 0 && sleeps(pid)) {
    dprintf(1, "target %d\n", (int)pid);
    return 1;
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return 0;
}

static void look_for_a_hang(void) {
  start_thread("caller-0", calls_it, NULL);
  start_thread("caller-1", calls_it, NULL);
  const time_t end = time(NULL) + 60;
  while (time(NULL) < end)
    if (hangs()) pause();
  dprintf(1, "no hang\n");
  _exit(0);
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*call)(void);
  } functions[] = {{"localtime", call_localtime},  {"setenv", call_setenv},
                   {"random", call_random},        {"dl_iterate_phdr", call_iterate},
                   {"setlocale", call_setlocale},  {"getpwuid", call_getpwuid},
                   {"iconv_open", call_iconv_open}};
  for (size_t i = 0; argc == 2 && i < sizeof functions / sizeof functions[0]; ++i)
    if (strcmp(functions[i].name, argv[1]) == 0) function = functions[i].call;
  if (function == NULL) return dprintf(2, "usage: %s FUNCTION\n", argv[0]), 2;
  look_for_a_hang();
}
