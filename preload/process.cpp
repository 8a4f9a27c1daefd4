// Functions of libc that create a process inside: system, popen and wordexp by its own posix_spawn,
// forkpty and daemon by its own fork, both past any interposer. wait.cpp does not see how their
// children end: libc collects those of system and wordexp itself.
#include <sys/resource.h>

#include <cstring>

#include "detector/tracker/exec_target.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/environment.hpp"
#include "preload/exit.hpp"
#include "preload/fork.hpp"
#include "preload/inside_call.hpp"
#include "preload/real.hpp"

using namespace forkscope;
using record::Api;
using record::Call;

extern char** environ;

namespace {

constexpr const char* kShell = "/bin/sh";

/// The shell is started with `environ`. Where the program took us out of it, we are in it for the
/// time of the call, and out of it where the shell could not load us: while nobody else can look, as
/// nothing else can be passed to these functions. The memory is no stack's, for a signal handler may
/// jump out of the call.
class ShellEnvironment {
 public:
  ShellEnvironment() : target_(observable(kShell)) {
    if (process.living.load(std::memory_order_relaxed) != 1) return;
    ExecEnvironment wanted(environ, target_);
    size_ = wanted.scratch_size();
    const bool loads = target_ == record::NotObserved::kObserved;
    if (size_ == 0 || (!loads && target_ != record::NotObserved::kUnreachable)) return;
    memory_ = large_scratch(size_);
    if (memory_ == nullptr) return;
    given_ = environ;
    built_ = const_cast<char**>(wanted.build(memory_));
    environ = built_;
  }
  ~ShellEnvironment() {
    if (memory_ == nullptr || environ != built_) return;
    environ = given_;
    free_large_scratch(memory_, size_);
  }
  record::NotObserved target() const { return target_; }
  ShellEnvironment(const ShellEnvironment&) = delete;
  ShellEnvironment& operator=(const ShellEnvironment&) = delete;

 private:
  record::NotObserved target_;
  std::size_t size_ = 0;
  void* memory_ = nullptr;
  char** given_ = nullptr;
  char** built_ = nullptr;
};

void note_shell(Api api, const void* caller, record::NotObserved target) {
  int error = errno;
  const std::uint64_t fork = note_spawn(api, 0, caller);
  process.count(&record::Counters::execs);
  if (target == record::NotObserved::kUnreachable) {  // its pid is not known: in our name
    const std::size_t length = std::strlen(kShell);
    process.append_with_text(record::Type::kExec,
                             record::Exec{fork, 0, target, {}, std::uint32_t(length)}, kShell,
                             length);
  }
  errno = error;
}

void note_no_shell(Api api) {
  int error = errno;
  note_spawn_failed(api, error);
  errno = error;
}

/// glibc (sysdeps/posix/system.c) answers as if the shell had exited with 127 when there is none,
/// and leaves the reason in errno.
bool no_shell(const char* command, int status, int error) {
  if (error == 0 || error == ECHILD || error == EINTR) return false;  // of its waitpid
  return command == nullptr ? status == 0 : status == -1 || status == (127 << 8);
}

/// Page faults of all children that were waited for: those of one more add to it.
long faults_of_children() {
  rusage usage{};
  sys::call(SYS_getrusage, RUSAGE_CHILDREN, sys::arg(&usage));
  return usage.ru_minflt;
}

/// Words that may hold a command substitution; $((1+2)) looks the same from here.
bool may_run_commands(const char* words, int flags) {
  return (flags & WRDE_NOCMD) == 0 && words != nullptr && sys::readable(words, 1) &&
         (std::strchr(words, '`') != nullptr || std::strstr(words, "$(") != nullptr);
}

}  // namespace

FORKSCOPE_EXPORT int system(const char* command) {
  const void* caller = __builtin_return_address(0);
  if (observed(Call::kSystem, caller) == nullptr) return real().system(command);
  int before = errno, status;
  errno = 0;
  record::NotObserved target;
  {
    ShellEnvironment environment;
    target = environment.target();
    errno = 0;
    status = real().system(command);
  }
  if (no_shell(command, status, errno))
    note_no_shell(Api::kSystem);
  else
    note_shell(Api::kSystem, caller, target);
  if (errno == 0) errno = before;
  return status;
}

FORKSCOPE_EXPORT FILE* popen(const char* command, const char* mode) {
  const void* caller = __builtin_return_address(0);
  if (observed(Call::kPopen, caller) == nullptr) return real().popen(command, mode);
  FORKSCOPE_INSIDE(popen);
  int before = errno, error;
  FILE* pipe;
  record::NotObserved target;
  {
    ShellEnvironment environment;
    target = environment.target();
    errno = before;
    pipe = real().popen(command, mode);
    error = errno;
  }
  errno = error;
  if (pipe != nullptr)
    note_shell(Api::kPopen, caller, target);
  else if (error != EINVAL)  // the mode: nothing was tried
    note_no_shell(Api::kPopen);
  return pipe;
}

FORKSCOPE_EXPORT int wordexp(const char* __restrict words, wordexp_t* __restrict result,
                             int flags) {
  const void* caller = __builtin_return_address(0);
  if (!may_run_commands(words, flags) || observed(Call::kWordexp, caller) == nullptr)
    return real().wordexp(words, result, flags);
  int before = errno, error, status;
  long faults = faults_of_children();
  record::NotObserved target;
  {
    ShellEnvironment environment;
    target = environment.target();
    errno = before;
    status = real().wordexp(words, result, flags);
    error = errno;
  }
  errno = error;
  if (faults_of_children() != faults) note_shell(Api::kWordexp, caller, target);
  return status;
}

FORKSCOPE_EXPORT int forkpty(int* terminal, char* name, const termios* attributes,
                             const winsize* size) noexcept {
  return int(do_fork(Api::kForkpty, __builtin_return_address(0),
                     [&] { return real().forkpty(terminal, name, attributes, size); }));
}

FORKSCOPE_EXPORT int daemon(int keep_directory, int keep_descriptors) noexcept {
  std::int32_t parent = process.pid;
  long result = do_fork(Api::kDaemon, __builtin_return_address(0),
                        [&] { return real().daemon(keep_directory, keep_descriptors); });
  // Back in the child, if anywhere: the parent ended inside, with status 0 (misc/daemon.c).
  if (process.pid != parent) note_exit_of(parent, 0);
  return int(result);
}
