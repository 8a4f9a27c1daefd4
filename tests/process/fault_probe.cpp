// Children that die of a fork, or get wrong answers: joins, files, memory, the loader.
// fault_test.cpp runs these alone and observed.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

extern "C" pid_t _Fork();

namespace {

// ---- processes ----------------------------------------------------------------------------------

/// Everything that goes through it is one byte that says "go on".
struct Gate {
  int ends[2];
  Gate() {
    if (pipe(ends) != 0) std::abort();
  }
  void open() {
    if (write(ends[1], "", 1) != 1) std::abort();
  }
  void wait() {
    char byte;
    if (read(ends[0], &byte, 1) != 1) std::abort();
  }
};

int end_of(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

template <typename Child>
int in_child(Child&& run, pid_t (*fork_it)() = fork) {
  pid_t child = fork_it();
  if (child == 0) _exit(run());
  return end_of(child);
}

/// For children that die: no core files.
void without_core() {
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

// ---- joins --------------------------------------------------------------------------------------

Gate thread_may_end, thread_runs;

void* lost_work(void*) {
  thread_runs.open();
  thread_may_end.wait();
  return reinterpret_cast<void*>(42);
}

pthread_t start_lost() {
  pthread_t thread;
  pthread_create(&thread, nullptr, lost_work, nullptr);
  thread_runs.wait();
  pthread_setname_np(thread, "worker-1");
  return thread;
}

[[gnu::noinline]] int join_in_child(pthread_t thread, const char* way) {
  void* result = &thread;
  timespec soon{};
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_sec += 60;
  int number = -1, error = -1;
  if (std::strcmp(way, "join") == 0) error = pthread_join(thread, &result);
  if (std::strcmp(way, "tryjoin") == 0) error = pthread_tryjoin_np(thread, &result);
  if (std::strcmp(way, "timedjoin") == 0) error = pthread_timedjoin_np(thread, &result, &soon);
  if (std::strcmp(way, "clockjoin") == 0)
    error = pthread_clockjoin_np(thread, &result, CLOCK_REALTIME, &soon);
  if (std::strcmp(way, "thrd_join") == 0) {
    error = thrd_join(thread, &number);
    result = reinterpret_cast<void*>(std::intptr_t(number));
  }
  return error == 0 && result == nullptr ? 7 : 99;
}

/// Joins in the child what only the parent has, by the call that is named.
int join_lost(char** arguments) {
  pthread_t thread = start_lost();
  int status = in_child([&] { return join_in_child(thread, arguments[0]); });
  thread_may_end.open();
  void* result = nullptr;
  pthread_join(thread, &result);
  return result == reinterpret_cast<void*>(42) ? status : 98;
}

/// libc has not marked the thread as ended there.
int join_without_handlers(char**) {
  pthread_t thread = start_lost();
  return in_child([&] { return join_in_child(thread, "join"); }, _Fork);
}

void* return_argument(void* argument) { return argument; }

/// The child's own thread has the stack, and so the handle, of the lost one.
int join_reused_handle(char**) {
  pthread_t lost = start_lost();
  return in_child([&] {
    for (int i = 0; i < 2; ++i) {
      pthread_t own;
      void* result = nullptr;
      if (pthread_create(&own, nullptr, return_argument, &result) != 0) return 95;
      if (!pthread_equal(own, lost)) return 96;
      if (pthread_join(own, &result) != 0 || result != &result) return 97;
    }
    return 0;
  });
}

/// Over before the fork: the child is given its result.
int join_ended(char**) {
  static int value;
  pthread_t thread;
  clockid_t clock;
  pthread_create(&thread, nullptr, return_argument, &value);
  while (pthread_getcpuclockid(thread, &clock) == 0) sched_yield();  // the kernel clears its TID
  return in_child([&] {
    void* result = nullptr;
    return pthread_join(thread, &result) == 0 && result == &value ? 0 : 97;
  });
}

/// The roster of another finding shows who was in a join.
int fork_while_joining(char**) {
  static pthread_t worker = start_lost();
  static Gate joins;
  static pid_t joiner_tid = 0;
  pthread_t joiner;
  pthread_create(
      &joiner, nullptr,
      [](void*) -> void* {
        pthread_setname_np(pthread_self(), "joiner");
        joiner_tid = gettid();
        joins.open();
        pthread_join(worker, nullptr);
        return nullptr;
      },
      nullptr);
  joins.wait();
  // Nothing but the join makes it sleep.
  for (char state = 0; state != 'S';) {
    std::FILE* stat = nullptr;
    char path[64], line[256] = "";
    std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", joiner_tid);
    if ((stat = std::fopen(path, "r")) == nullptr) return 94;
    if (std::fgets(line, sizeof line, stat) != nullptr && std::strrchr(line, ')') != nullptr)
      state = std::strrchr(line, ')')[2];
    std::fclose(stat);
  }
  return in_child([&] { return join_in_child(worker, "join"); });
}

// ---- files --------------------------------------------------------------------------------------

enum class Way { kFlock, kOfd, kRecord, kLockf };

Way way_of(const char* name) {
  if (std::strcmp(name, "flock") == 0) return Way::kFlock;
  if (std::strcmp(name, "ofd") == 0) return Way::kOfd;
  return std::strcmp(name, "record") == 0 ? Way::kRecord : Way::kLockf;
}

/// `type` as fcntl has it, without waiting; gives errno.
[[gnu::noinline]] int lock_file(int file, Way way, short type, off_t begin = 0, off_t length = 0) {
  struct flock range {};
  range.l_type = type;
  range.l_start = begin;
  range.l_len = length;
  int result = -1;
  switch (way) {
    case Way::kFlock:
      result = flock(file, type == F_UNLCK   ? LOCK_UN
                           : type == F_WRLCK ? LOCK_EX | LOCK_NB
                                             : LOCK_SH | LOCK_NB);
      break;
    case Way::kOfd:
      result = fcntl(file, F_OFD_SETLK, &range);
      break;
    case Way::kRecord:
      result = fcntl(file, F_SETLK, &range);
      break;
    case Way::kLockf:
      result = lockf(file, type == F_UNLCK ? F_ULOCK : F_TLOCK, 0);
      break;
  }
  return result == 0 ? 0 : errno;
}

[[gnu::noinline]] int take_in_parent(int file, Way way, short type = F_WRLCK) {
  return lock_file(file, way, type);
}

/// WAY FILE: the child unlocks what the parent locked.
int unlock_parents(char** arguments) {
  Way way = way_of(arguments[0]);
  int file = open(arguments[1], O_RDWR | O_CREAT, 0600);
  if (take_in_parent(file, way) != 0) return 99;
  return in_child([&] { return lock_file(file, way, F_UNLCK); });
}

/// WAY FILE: the child asks for what the parent locked, and unlocks it at the end.
int ask_for_parents(char** arguments) {
  Way way = way_of(arguments[0]);
  int file = open(arguments[1], O_RDWR | O_CREAT, 0600);
  if (take_in_parent(file, way) != 0) return 99;
  return in_child([&] {
    int error = lock_file(file, way, F_WRLCK);
    lock_file(file, way, F_UNLCK);
    return error;
  });
}

/// WAY FILE: nothing of the parent's is touched.
int leave_parents(char** arguments) {
  Way way = way_of(arguments[0]);
  const char* path = arguments[1];
  int file = open(path, O_RDWR | O_CREAT, 0600);
  // Through an open of its own, with another number and with the same.
  if (take_in_parent(file, way) != 0) return 99;
  int status = in_child([&] {
    int own = open(path, O_RDWR);
    int first = lock_file(own, way, F_WRLCK);
    dup2(own, file);
    int second = lock_file(file, way, F_WRLCK);
    lock_file(file, way, F_UNLCK);
    return first == EAGAIN && second == EAGAIN ? 0 : 98;
  });
  if (status != 0) return status;
  // The parent has unlocked meanwhile.
  Gate unlocked;
  pid_t child = fork();
  if (child == 0) {
    unlocked.wait();
    _exit(lock_file(file, way, F_WRLCK) == 0 && lock_file(file, way, F_UNLCK) == 0 ? 0 : 97);
  }
  lock_file(file, way, F_UNLCK);
  unlocked.open();
  if ((status = end_of(child)) != 0) return status;
  // It was never the parent's.
  return in_child([&] {
    bool both = lock_file(file, way, F_WRLCK) == 0 && lock_file(file, way, F_UNLCK) == 0;
    return both ? 0 : 96;
  });
}

/// FILE: the parent hands the open file, and the lock with it, to its child.
int hand_over(char** arguments) {
  int file = open(arguments[0], O_RDWR | O_CREAT, 0600);
  if (take_in_parent(file, Way::kFlock) != 0) return 99;
  Gate closed;
  pid_t child = fork();
  if (child == 0) {
    closed.wait();
    _exit(lock_file(file, Way::kFlock, F_UNLCK));
  }
  close(file);
  closed.open();
  return end_of(child);
}

/// FILE: the child locks bytes that the parent has not.
int lock_other_bytes(char** arguments) {
  int file = open(arguments[0], O_RDWR | O_CREAT, 0600);
  for (Way way : {Way::kRecord, Way::kOfd}) {
    if (lock_file(file, way, F_WRLCK, 0, 10) != 0) return 99;
    int status = in_child([&] {
      int error = lock_file(file, way, F_WRLCK, 10, 10);
      return error != 0 ? error : lock_file(file, way, F_UNLCK, 10, 10);
    });
    if (status != 0) return status;
    lock_file(file, way, F_UNLCK);
  }
  return 0;
}

/// FILE: fcntl and its relatives do what they do, errors included.
int file_calls(char** arguments) {
  int file = open(arguments[0], O_RDWR | O_CREAT, 0600);
  errno = 0;
  bool right = fcntl(file, F_SETFD, FD_CLOEXEC) == 0 && fcntl(file, F_GETFD) == FD_CLOEXEC;
  int copy = fcntl(file, F_DUPFD_CLOEXEC, 100);
  right = right && copy >= 100 && (fcntl64(copy, F_GETFL) & O_ACCMODE) == O_RDWR && errno == 0;
  right = right && fcntl(-1, F_SETLK, nullptr) == -1 && errno == EBADF;
  right = right && fcntl(file, F_SETLK, nullptr) == -1 && errno == EFAULT;
  right = right && flock(-1, LOCK_EX) == -1 && errno == EBADF;
  right = right && flock(file, 0) == -1 && errno == EINVAL;
  right = right && lockf(file, 77, 0) == -1 && errno == EINVAL;
  right = right && lockf(file, F_TEST, 0) == 0;
  struct flock part {};
  part.l_type = F_WRLCK;
  part.l_whence = SEEK_END;
  part.l_start = -1;
  right = right && fcntl(file, F_SETLK, &part) == -1 && errno == EINVAL;
  return right ? 0 : 1;
}

// ---- memory -------------------------------------------------------------------------------------

constexpr std::size_t kPage = 4096, kPages = 16;

char* map_pages() {
  void* memory =
      mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<char*>(memory);
}

[[gnu::noinline]] void mark(char* memory, int advice) {
  if (madvise(memory, kPages * kPage, advice) != 0) std::abort();
}

[[gnu::noinline]] int touch(volatile char* memory) { return *memory; }

int read_missing(char**) {
  char* memory = map_pages();
  mark(memory, MADV_DONTFORK);
  return in_child([&] { return touch(memory + 5 * kPage + 8); });
}

int read_missing_by_number(char**) {
  char* memory = map_pages();
  if (syscall(SYS_madvise, memory, kPages * kPage, MADV_DONTFORK) != 0) return 99;
  return in_child([&] { return touch(memory); });
}

int read_missing_in_grandchild(char**) {
  char* memory = map_pages();
  mark(memory, MADV_DONTFORK);
  return in_child([&] { return in_child([&] { return touch(memory); }); });
}

int read_wiped(char**) {
  char* memory = map_pages();
  mark(memory, MADV_WIPEONFORK);
  *reinterpret_cast<char***>(memory) = reinterpret_cast<char**>(memory);
  return in_child([&] {
    asm volatile("movq (%0), %%rax\n\tmovl (%%rax), %%eax" : : "r"(memory) : "rax", "memory");
    return 0;
  });
}

/// Every kind of advice, taken back, partly too: the child reads all that it has.
int read_present(char**) {
  char* memory = map_pages();
  mark(memory, MADV_DONTFORK);
  mark(memory, MADV_DOFORK);
  if (in_child([&] { return touch(memory); }) != 0) return 1;
  mark(memory, MADV_WIPEONFORK);
  mark(memory, MADV_KEEPONFORK);
  memory[8] = 3;
  if (in_child([&] { return touch(memory + 8); }) != 3) return 2;
  mark(memory, MADV_DONTFORK);
  madvise(memory + kPage, kPage, MADV_DOFORK);
  if (in_child([&] { return touch(memory + kPage); }) != 0) return 3;
  return in_child([] { return 0; });
}

[[gnu::noinline]] void fault_elsewhere() { touch(static_cast<volatile char*>(nullptr) + 16); }

int fault_at_null(char**) {
  mark(map_pages(), MADV_DONTFORK);
  mark(map_pages(), MADV_WIPEONFORK);
  return in_child([] {
    fault_elsewhere();
    return 0;
  });
}

int sent_signal(char** arguments) {
  mark(map_pages(), MADV_DONTFORK);
  return in_child([&] {
    if (arguments[0][0] == 'r') raise(SIGSEGV);
    if (arguments[0][0] == 'k') kill(getpid(), SIGSEGV);
    if (arguments[0][0] == 'q') sigqueue(getpid(), SIGSEGV, {});
    if (arguments[0][0] == 'a') std::abort();
    return 0;
  });
}

char* expected_address = nullptr;

void own_handler(int, siginfo_t* info, void*) {
  _exit(info->si_code == SEGV_MAPERR && info->si_addr == expected_address ? 9 : 98);
}

void install_own() {
  struct sigaction action {};
  action.sa_sigaction = own_handler;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, nullptr);
}

/// before|after the fork: the program's own handler is called, with what the kernel says.
int own_action(char** arguments) {
  expected_address = map_pages();
  mark(expected_address, MADV_DONTFORK);
  bool before = std::strcmp(arguments[0], "before") == 0;
  if (before) install_own();
  return in_child([&] {
    if (!before) install_own();
    return touch(expected_address);
  });
}

void print_action(const char* call, const struct sigaction& action) {
  std::uint64_t mask;
  std::memcpy(&mask, &action.sa_mask, sizeof mask);
  std::printf("%s: %s, flags %#x, mask %#lx\n", call,
              action.sa_handler == SIG_DFL ? "default" : "not the default",
              unsigned(action.sa_flags), static_cast<unsigned long>(mask));
}

/// What every call says of SIGSEGV in the child.
int print_actions(char**) {
  mark(map_pages(), MADV_DONTFORK);
  struct sigaction odd {};
  odd.sa_handler = SIG_DFL;
  odd.sa_flags = SA_RESTART;
  sigaddset(&odd.sa_mask, SIGUSR1);
  sigaction(SIGSEGV, &odd, nullptr);
  using Call = sighandler_t (*)(int, sighandler_t);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const struct {
    const char* name;
    Call call;
  } calls[] = {{"signal", signal},
               {"ssignal", ssignal},
               {"sysv_signal", sysv_signal},
               {"sigset", sigset},
               {"bsd_signal", reinterpret_cast<Call>(dlsym(RTLD_DEFAULT, "bsd_signal"))}};
#pragma GCC diagnostic pop
  int status = in_child([] {
    struct sigaction seen {};
    sigaction(SIGSEGV, nullptr, &seen);
    print_action("sigaction", seen);
    seen.sa_handler = SIG_IGN;
    struct sigaction old {};
    sigaction(SIGSEGV, &seen, &old);
    print_action("sigaction, setting", old);
    sigaction(SIGSEGV, nullptr, &seen);
    print_action("sigaction, after", seen);
    std::fflush(stdout);
    return 0;
  });
  for (const auto& one : calls)
    status += in_child([&] {
      std::printf("%s: %d", one.name, one.call(SIGSEGV, SIG_IGN) == SIG_DFL);
      std::printf(", then %d\n", one.call(SIGSEGV, SIG_DFL) == SIG_IGN);
      std::fflush(stdout);
      return 0;
    });
  return status;
}

// ---- the loader ---------------------------------------------------------------------------------

const char* plugin_path = nullptr;

void* load_plugin(void*) {
  pthread_setname_np(pthread_self(), "loading");
  dlopen(plugin_path, RTLD_NOW);
  return nullptr;
}

[[gnu::noinline]] int load_in_child(const char* library) {
  return dlopen(library, RTLD_NOW) != nullptr ? 0 : 1;
}

/// PLUGIN FIFO LIBRARY: forks while a thread waits in dlopen(PLUGIN), for the FIFO it needs; the
/// child loads LIBRARY, which the parent has loaded.
int fork_in_dlopen(char** arguments) {
  plugin_path = arguments[0];
  if (dlopen(arguments[2], RTLD_NOW) == nullptr) return 99;
  pthread_t thread;
  pthread_create(&thread, nullptr, load_plugin, nullptr);
  int writer = open(arguments[1], O_WRONLY | O_CLOEXEC);  // returns when the loader has it open
  int status = in_child([&] { return load_in_child(arguments[2]); });
  close(writer);
  pthread_join(thread, nullptr);
  return status;
}

/// NAME: found by this program's own RUNPATH.
int load_by_runpath(char** arguments) {
  if (dlopen(arguments[0], RTLD_NOW) == nullptr) return 1;
  void* apart = dlmopen(LM_ID_NEWLM, arguments[0], RTLD_NOW);
  if (apart == nullptr) return 2;
  return in_child([&] { return load_in_child(arguments[0]); });
}

struct Mode {
  const char* name;
  int (*run)(char** arguments);
};

constexpr Mode kModes[] = {{"join-lost", join_lost},
                           {"join-without-handlers", join_without_handlers},
                           {"join-reused-handle", join_reused_handle},
                           {"join-ended", join_ended},
                           {"fork-while-joining", fork_while_joining},
                           {"unlock-parents", unlock_parents},
                           {"ask-for-parents", ask_for_parents},
                           {"leave-parents", leave_parents},
                           {"hand-over", hand_over},
                           {"lock-other-bytes", lock_other_bytes},
                           {"file-calls", file_calls},
                           {"read-missing", read_missing},
                           {"read-missing-by-number", read_missing_by_number},
                           {"read-missing-in-grandchild", read_missing_in_grandchild},
                           {"read-wiped", read_wiped},
                           {"read-present", read_present},
                           {"fault-at-null", fault_at_null},
                           {"sent-signal", sent_signal},
                           {"own-action", own_action},
                           {"print-actions", print_actions},
                           {"fork-in-dlopen", fork_in_dlopen},
                           {"load-by-runpath", load_by_runpath}};

}  // namespace

int main(int argc, char** argv) {
  without_core();
  for (const Mode& mode : kModes)
    if (argc > 1 && std::strcmp(argv[1], mode.name) == 0) return mode.run(argv + 2);
  return 64;
}
