// Calls each function of detector/record/unsafe_calls.def in a forked child: unsafe_probe MODE.
//
//   notes            one child for each function, while another thread is alive
//   many N           N children that call one function three times, at one place
//   flood N          one child that calls at one place N times, and allocates N times
//   safe             children that do what they may, and one that executes a program
//   alone            the same calls in the child of a process without threads
//   middle NAME N    two threads call the function over and over; forks until a child that calls it
//                    hangs, at most N times. Ends with 10 when one did (or was killed for it), 12
//                    when none did
// The function that calls NAME is call_NAME(), and calls from places of its own, so that it can be
// found in a stack.
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <iconv.h>
#include <libintl.h>
#include <link.h>
#include <locale.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
int __printf_chk(int flag, const char* format, ...);
int __fprintf_chk(FILE* stream, int flag, const char* format, ...);
int __vprintf_chk(int flag, const char* format, va_list list);
int __vfprintf_chk(FILE* stream, int flag, const char* format, va_list list);
void __syslog_chk(int priority, int flag, const char* format, ...);
void __vsyslog_chk(int priority, int flag, const char* format, va_list list);
int __cxa_atexit(void (*function)(void*), void* argument, void* object) noexcept;
int __cxa_at_quick_exit(void (*function)(void*), void* object) noexcept;
}

namespace {

void* volatile kept;  ///< so that no call is left out
FILE* null_stream;
constexpr time_t kWhen = 1700000000;
constexpr std::size_t kSize = 100, kAlignment = 64;

void keep_and_free(void* memory) {
  kept = memory;
  free(memory);
}

// ---- one function each --------------------------------------------------------------------------

#define CALL(name) [[gnu::noinline]] void call_##name()

CALL(malloc) { keep_and_free(malloc(kSize)); }
CALL(calloc) { keep_and_free(calloc(1, kSize)); }
CALL(memalign) { keep_and_free(memalign(kAlignment, kSize)); }
CALL(posix_memalign) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, kSize) == 0) keep_and_free(memory);
}
CALL(aligned_alloc) { keep_and_free(aligned_alloc(kAlignment, kAlignment)); }

CALL(printf) { printf("%d", 1); }
CALL(fprintf) { fprintf(null_stream, "%d", 1); }
[[gnu::noinline]] void print_list(int (*print)(const char*, va_list), const char* format, ...) {
  va_list list;
  va_start(list, format);
  print(format, list);
  va_end(list);
}
CALL(vprintf) {
  print_list([](const char* format, va_list list) { return vprintf(format, list); }, "%d", 1);
}
CALL(vfprintf) {
  print_list([](const char* format, va_list list) { return vfprintf(null_stream, format, list); },
             "%d", 1);
}
CALL(__printf_chk) { __printf_chk(1, "%d", 1); }
CALL(__fprintf_chk) { __fprintf_chk(null_stream, 1, "%d", 1); }
CALL(__vprintf_chk) {
  print_list([](const char* format, va_list list) { return __vprintf_chk(1, format, list); }, "%d",
             1);
}
CALL(__vfprintf_chk) {
  print_list(
      [](const char* format, va_list list) { return __vfprintf_chk(null_stream, 1, format, list); },
      "%d", 1);
}
CALL(puts) { puts(""); }
CALL(putchar) { putchar('x'); }
CALL(fputs) { fputs("x", null_stream); }
CALL(fputc) { fputc('x', null_stream); }
CALL(putc) { putc('x', null_stream); }
CALL(fwrite) { kept = reinterpret_cast<void*>(fwrite("x", 1, 1, null_stream)); }
CALL(fread) {
  char text[8];
  kept = reinterpret_cast<void*>(fread(text, 1, sizeof text, null_stream));
}
CALL(fgets) {
  char text[8];
  kept = fgets(text, sizeof text, null_stream);
}
CALL(getline) {
  char* line = nullptr;
  std::size_t size = 0;
  if (getline(&line, &size, null_stream) >= 0) kept = line;
  free(line);
}
CALL(fflush) { fflush(null_stream); }
CALL(fopen) {
  if (FILE* stream = fopen("/dev/null", "r")) fclose(stream);
}
CALL(fopen64) {
  if (FILE* stream = fopen64("/dev/null", "r")) fclose(stream);
}
CALL(fdopen) {
  if (FILE* stream = fdopen(dup(fileno(null_stream)), "r")) fclose(stream);
}
CALL(fclose) {
  if (FILE* stream = fopen("/dev/null", "r")) fclose(stream);
}
CALL(perror) { perror(""); }

CALL(dlopen) {
  if (void* object = dlopen("libm.so.6", RTLD_NOW)) dlclose(object);
}
CALL(dlmopen) {
  if (void* object = dlmopen(LM_ID_BASE, "libm.so.6", RTLD_NOW)) dlclose(object);
}
CALL(dlclose) {
  if (void* object = dlopen("libm.so.6", RTLD_NOW)) dlclose(object);
}

void* ends_at_once(void*) { return nullptr; }
int ends_at_once_c11(void*) { return 0; }
CALL(pthread_create) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, ends_at_once, nullptr) == 0) pthread_join(thread, nullptr);
}
CALL(thrd_create) {
  thrd_t thread;
  if (thrd_create(&thread, ends_at_once_c11, nullptr) == thrd_success) thrd_join(thread, nullptr);
}

CALL(tzset) { tzset(); }
CALL(localtime) { kept = localtime(&kWhen); }
CALL(localtime_r) {
  tm result;
  kept = localtime_r(&kWhen, &result);
}
CALL(gmtime) { kept = gmtime(&kWhen); }
CALL(gmtime_r) {
  tm result;
  kept = gmtime_r(&kWhen, &result);
}
CALL(mktime) {
  tm when{};
  when.tm_year = 123;
  kept = reinterpret_cast<void*>(mktime(&when));
}
CALL(timegm) {
  tm when{};
  when.tm_year = 123;
  kept = reinterpret_cast<void*>(timegm(&when));
}
CALL(ctime) { kept = ctime(&kWhen); }
CALL(ctime_r) {
  char text[64];
  kept = ctime_r(&kWhen, text);
}
CALL(strftime) {
  char text[64];
  tm when{};
  kept = reinterpret_cast<void*>(strftime(text, sizeof text, "%Z", &when));
}

CALL(setenv) { setenv("FORKSCOPE_PROBE", "1", 1); }
CALL(unsetenv) { unsetenv("FORKSCOPE_PROBE"); }
CALL(putenv) {
  static char assignment[] = "FORKSCOPE_PROBE=2";
  putenv(assignment);
}
CALL(clearenv) { clearenv(); }

CALL(getaddrinfo) {
  addrinfo hints{}, *result = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_ADDRCONFIG;
  if (getaddrinfo("127.0.0.1", nullptr, &hints, &result) == 0) freeaddrinfo(result);
}
sockaddr_in local_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
CALL(getnameinfo) {
  sockaddr_in address = local_address();
  char host[NI_MAXHOST];
  getnameinfo(reinterpret_cast<sockaddr*>(&address), sizeof address, host, sizeof host, nullptr, 0,
              NI_NUMERICHOST);
}
CALL(getpwnam) { kept = getpwnam("root"); }
CALL(getpwuid) { kept = getpwuid(0); }
CALL(getgrnam) { kept = getgrnam("root"); }
CALL(getgrgid) { kept = getgrgid(0); }
CALL(getservbyname) { kept = getservbyname("http", "tcp"); }
CALL(getservbyport) { kept = getservbyport(htons(80), "tcp"); }
CALL(getprotobyname) { kept = getprotobyname("tcp"); }
CALL(gethostbyname) { kept = gethostbyname("127.0.0.1"); }
CALL(gethostbyaddr) {
  const in_addr address = local_address().sin_addr;
  kept = gethostbyaddr(&address, sizeof address, AF_INET);
}
CALL(getpwnam_r) {
  passwd entry, *found;
  char text[4096];
  getpwnam_r("root", &entry, text, sizeof text, &found);
}
CALL(getpwuid_r) {
  passwd entry, *found;
  char text[4096];
  getpwuid_r(0, &entry, text, sizeof text, &found);
}
CALL(getgrnam_r) {
  group entry, *found;
  char text[4096];
  getgrnam_r("root", &entry, text, sizeof text, &found);
}
CALL(getgrgid_r) {
  group entry, *found;
  char text[4096];
  getgrgid_r(0, &entry, text, sizeof text, &found);
}

CALL(random) { kept = reinterpret_cast<void*>(random()); }
CALL(srandom) { srandom(1); }
CALL(rand) { kept = reinterpret_cast<void*>(long{rand()}); }
CALL(srand) { srand(1); }
char random_state[64];
CALL(initstate) { kept = initstate(1, random_state, sizeof random_state); }
CALL(setstate) { kept = setstate(random_state); }

void log_list(void (*log)(int, const char*, va_list), const char* format, ...) {
  va_list list;
  va_start(list, format);
  log(LOG_DEBUG, format, list);
  va_end(list);
}
CALL(syslog) { syslog(LOG_DEBUG, "%d", 1); }
CALL(vsyslog) {
  log_list([](int level, const char* format, va_list list) { vsyslog(level, format, list); }, "%d",
           1);
}
CALL(__syslog_chk) { __syslog_chk(LOG_DEBUG, 1, "%d", 1); }
CALL(__vsyslog_chk) {
  log_list(
      [](int level, const char* format, va_list list) { __vsyslog_chk(level, 1, format, list); },
      "%d", 1);
}
CALL(openlog) { openlog("probe", 0, LOG_USER); }
CALL(closelog) { closelog(); }

CALL(setlocale) { setlocale(LC_ALL, "C"); }
CALL(newlocale) {
  if (locale_t made = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr)) freelocale(made);
}
CALL(duplocale) {
  if (locale_t made = duplocale(LC_GLOBAL_LOCALE)) freelocale(made);
}
CALL(freelocale) {
  if (locale_t made = duplocale(LC_GLOBAL_LOCALE)) freelocale(made);
}

CALL(bindtextdomain) { bindtextdomain("probe", "/nonexistent"); }
CALL(bind_textdomain_codeset) { bind_textdomain_codeset("probe", "UTF-8"); }
CALL(textdomain) { textdomain("probe"); }
CALL(gettext) { kept = gettext("text"); }
CALL(dgettext) { kept = dgettext("probe", "text"); }
CALL(dcgettext) { kept = dcgettext("probe", "text", LC_MESSAGES); }

CALL(iconv_open) {
  const iconv_t conversion = iconv_open("UTF-16", "ISO-8859-1");
  if (conversion != iconv_t(-1)) iconv_close(conversion);
}
CALL(iconv_close) {
  const iconv_t conversion = iconv_open("UTF-16", "ISO-8859-1");
  if (conversion != iconv_t(-1)) iconv_close(conversion);
}

void does_nothing(void*) {}
void does_nothing_either(int, void*) {}
CALL(__cxa_atexit) { __cxa_atexit(does_nothing, nullptr, nullptr); }
CALL(__cxa_at_quick_exit) { __cxa_at_quick_exit(does_nothing, nullptr); }
CALL(on_exit) { on_exit(does_nothing_either, nullptr); }
CALL(exit) { exit(0); }
CALL(quick_exit) { quick_exit(0); }

char semaphore_name[32];
CALL(sem_open) {
  sem_t* semaphore = sem_open(semaphore_name, O_CREAT, 0600, 0);
  if (semaphore != SEM_FAILED) sem_close(semaphore);
}
CALL(sem_close) {
  sem_t* semaphore = sem_open(semaphore_name, O_CREAT, 0600, 0);
  if (semaphore != SEM_FAILED) sem_close(semaphore);
}

int shows_object(dl_phdr_info*, std::size_t, void*) { return 0; }
CALL(dl_iterate_phdr) { dl_iterate_phdr(shows_object, nullptr); }

CALL(popen) {
  if (FILE* pipe = popen(":", "r")) pclose(pipe);
}
CALL(pclose) {
  if (FILE* pipe = popen(":", "r")) pclose(pipe);
}

// ---- the modes ----------------------------------------------------------------------------------

struct Function {
  const char* name;
  void (*call)();
};
constexpr Function kFunctions[] = {
#define FORKSCOPE_UNSAFE_CALL(name, family, use, hung) {#name, call_##name},
#include "detector/record/unsafe_calls.def"
};

void (*looped)();
std::atomic<int> looping{0};
std::atomic<bool> stop{false};
bool observed = false;  ///< by forkscope; asked before anything changes the environment

void* waits(void*) {
  looping = 1;
  while (true) pause();
}

/// A thread that is alive, and has nothing to do with anything.
void start_thread() {
  pthread_t thread;
  pthread_create(&thread, nullptr, waits, nullptr);
  while (looping == 0) sched_yield();
}

int end_of(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) != child) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 10;
}

int notes() {
  for (const Function& function : kFunctions) {
    pid_t child = fork();
    if (child == 0) {
      function.call();
      _exit(0);
    }
    if (int status = end_of(child); status != 0) {
      dprintf(1, "%s: %d\n", function.name, status);
      return 1;
    }
  }
  return 0;
}

int many(int count) {
  for (int i = 0; i < count; ++i) {
    pid_t child = fork();
    if (child == 0) {
      for (int j = 0; j < 3; ++j) call_localtime_r();
      _exit(0);
    }
    if (end_of(child) != 0) return 1;
  }
  return 0;
}

int flood(int count) {
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < count; ++i) call_localtime_r(), call_malloc();
    _exit(0);
  }
  return end_of(child);
}

int safe() {
  pid_t child = fork();
  if (child == 0) {
    int fd = open("/dev/null", O_WRONLY);
    if (fd >= 0 && write(fd, "x", 1) == 1 && dup2(fd, 0) == 0) close(fd);
    _exit(0);
  }
  if (end_of(child) != 0) return 1;
  child = fork();
  if (child == 0) {
    execl("/bin/true", "true", nullptr);
    _exit(1);
  }
  return end_of(child);
}

void* calls_it(void*) {
  // What cannot be undone, a handler of exit, is not done without end.
  constexpr int kMost = 4'000'000;
  ++looping;
  for (int i = 0; i < kMost && !stop; ++i) looped();
  return nullptr;
}

/// Whether the only thread of the process sleeps in FUTEX_WAIT without a time limit: nobody is left
/// to wake it.
bool waits_for_ever(pid_t pid) {
  char path[64], text[160] = "";
  snprintf(path, sizeof path, "/proc/%d/syscall", int(pid));
  int fd = open(path, O_RDONLY);
  if (fd < 0) return false;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  long number = 0, address = 0, operation = 0, value = 0, timeout = 0;
  constexpr int kFutex = 202, kWait = 0, kWaitBitset = 9;
  constexpr long kCommand = 127, kPrivate = 128;
  return size > 0 &&
         sscanf(text, "%ld %li %li %li %li", &number, &address, &operation, &value, &timeout) ==
             5 &&
         number == kFutex && timeout == 0 && (operation & kPrivate) != 0 &&
         ((operation & kCommand) == kWait || (operation & kCommand) == kWaitBitset);
}

/// Its end of the pipe closes when the child ends; looked at only when it does not.
int hangs(void (*call)()) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) abort();
  pid_t child = fork();
  if (child == 0) {
    call();
    _exit(0);
  }
  close(ends[1]);
  pollfd end = {ends[0], POLLIN, 0};
  // A lock that was copied in the middle of a hand-over makes a child spin: neither one nor the
  // other, and the next child is asked.
  constexpr int kLookEvery = 20, kMostLooks = 150;  // milliseconds; times
  bool hung = false, spins = false;
  // Under forkscope --on-deadlock=kill the child is killed, which is seen by its status.
  for (int look = 0; !hung && !spins && poll(&end, 1, kLookEvery) == 0; ++look) {
    const bool asleep = waits_for_ever(child);
    hung = !observed && asleep;
    spins = look >= kMostLooks && !asleep;
  }
  close(ends[0]);
  if (hung || spins) kill(child, SIGKILL);
  const int status = end_of(child);
  return spins ? 0 : status;
}

int middle(const char* name, int rounds) {
  for (const Function& function : kFunctions)
    if (strcmp(function.name, name) == 0) looped = function.call;
  if (looped == nullptr) return 2;
  looped();
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i) {
    pthread_create(&threads[i], nullptr, calls_it, nullptr);
    pthread_setname_np(threads[i], i == 0 ? "caller-0" : "caller-1");
  }
  while (looping != 2) sched_yield();
  int result = 12;
  for (int i = 0; i < rounds && result == 12; ++i)
    if (int status = hangs(looped); status != 0) result = status;
  stop = true;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  const int count = argc > 2 ? atoi(argv[argc - 1]) : 0;
  auto is = [mode](const char* name) { return strcmp(mode, name) == 0; };
  observed = getenv("FORKSCOPE_OPTIONS") != nullptr;
  null_stream = fopen("/dev/null", "r+");
  snprintf(semaphore_name, sizeof semaphore_name, "/forkscope-probe-%d", int(getpid()));
  initstate(1, random_state, sizeof random_state);
  // What the functions print is nothing to see.
  if (freopen("/dev/null", "w", stdout) == nullptr || freopen("/dev/null", "w", stderr) == nullptr)
    return 2;
  int result = 2;
  if (is("alone")) result = notes();
  if (is("middle") && argc == 4) result = middle(argv[2], count);
  if (result == 2) start_thread();
  if (is("notes")) result = notes();
  if (is("many")) result = many(count);
  if (is("flood")) result = flood(count);
  if (is("safe")) result = safe();
  sem_unlink(semaphore_name);
  _exit(result);
}
