// The exec family. Everything ends in execve, execvpe, fexecve or execveat with an environment that
// keeps the process tree together; the record says what becomes of the process.
//
// Usable in a vfork child, whose memory is its parent's: nothing is written but records and stack.
#include <alloca.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>

#include "detector/tracker/exec_target.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/environment.hpp"
#include "preload/real.hpp"

using namespace forkscope;

extern char** environ;

namespace {

/// Set in a vfork child, whose pid is not that of the memory it runs in.
struct Caller {
  std::int32_t pid = sys::getpid();
  bool borrowed = process.pid != 0 && pid != process.pid;
  std::uint64_t fork = borrowed && current() != nullptr ? current()->vfork : 0;
};

void note_exec(const Caller& caller, const char* path, record::NotObserved target) {
  process.count(&record::Counters::execs);
  std::size_t length = std::strlen(path);
  record::Exec exec{};
  exec.fork = caller.fork;
  exec.parent = caller.borrowed ? process.pid : 0;
  exec.reason = target;
  exec.path_length = std::uint32_t(length);
  process.append_with_text(record::Type::kExec, exec, path, length, caller.pid);
}

void note_failure(const Caller& caller, int error) {
  process.count(&record::Counters::execs, std::uint64_t(-1));
  process.append(record::Type::kExecFailed, record::ExecFailed{caller.fork, error, 0}, caller.pid);
}

/// `path` is what will be looked at and named; exec(environment) does it.
template <typename Exec>
[[gnu::always_inline]] inline int do_exec(const char* path, char* const* given, Exec&& exec) {
  int error = errno;
  if (inject::armed) [[unlikely]] {
    if (int refused = inject::fails(InjectAction::kExecFail, __builtin_return_address(0))) {
      errno = refused;
      return -1;
    }
  }
  if (!sys::readable(path, 1)) return exec(given);  // EFAULT, not our crash
  Caller caller;
  if (inject::armed && !caller.borrowed) inject::probing::settle();
  record::NotObserved target = observable(path);
  note_exec(caller, path, target);
  errno = error;
  int result = with_exec_environment(given, target, exec);
  error = errno;
  note_failure(caller, error);
  errno = error;
  return result;
}

int search_and_exec(const char* file, char* const* arguments, char* const* variables) {
  char buffer[4096];
  return do_exec(resolve_in_path(file, search_path(), buffer, sizeof buffer), variables,
                 [&](char* const* built) { return real().execvpe(file, arguments, built); });
}

int exec_path(const char* path, char* const* arguments, char* const* variables) {
  return do_exec(path, variables,
                 [&](char* const* built) { return real().execve(path, arguments, built); });
}

/// Arguments of execl and friends: counted, then copied to the caller's stack.
std::size_t count_arguments(const char* first, va_list& list) {
  std::size_t count = 0;
  for (const char* one = first; one != nullptr; one = va_arg(list, char*)) ++count;
  return count;
}

void copy_arguments(const char* first, va_list& list, char** to) {
  *to = const_cast<char*>(first);
  while (*to != nullptr) *++to = va_arg(list, char*);
}

}  // namespace

FORKSCOPE_EXPORT int execve(const char* path, char* const arguments[],
                            char* const variables[]) noexcept {
  return exec_path(path, arguments, variables);
}

FORKSCOPE_EXPORT int execv(const char* path, char* const arguments[]) noexcept {
  return exec_path(path, arguments, environ);
}

FORKSCOPE_EXPORT int execvp(const char* file, char* const arguments[]) noexcept {
  return search_and_exec(file, arguments, environ);
}

FORKSCOPE_EXPORT int execvpe(const char* file, char* const arguments[],
                             char* const variables[]) noexcept {
  return search_and_exec(file, arguments, variables);
}

// A va_list is consumed by counting, so each of these walks its arguments twice.
#define FORKSCOPE_GATHER(first)                                                \
  va_list list;                                                                \
  va_start(list, first);                                                       \
  std::size_t count = count_arguments(first, list);                            \
  va_end(list);                                                                \
  auto** arguments = static_cast<char**>(alloca((count + 1) * sizeof(char*))); \
  va_start(list, first);                                                       \
  copy_arguments(first, list, arguments);

FORKSCOPE_EXPORT int execl(const char* path, const char* first, ...) noexcept {
  FORKSCOPE_GATHER(first)
  va_end(list);
  return exec_path(path, arguments, environ);
}

FORKSCOPE_EXPORT int execlp(const char* file, const char* first, ...) noexcept {
  FORKSCOPE_GATHER(first)
  va_end(list);
  return search_and_exec(file, arguments, environ);
}

FORKSCOPE_EXPORT int execle(const char* path, const char* first, ...) noexcept {
  FORKSCOPE_GATHER(first)
  auto* variables = va_arg(list, char**);
  va_end(list);
  return exec_path(path, arguments, variables);
}

FORKSCOPE_EXPORT int fexecve(int fd, char* const arguments[], char* const variables[]) noexcept {
  char path[40] = "/proc/self/fd/";
  char* at = path + std::strlen(path);
  for (int scale = 1000000000; scale > 0; scale /= 10)
    if (fd >= scale || scale == 1) *at++ = char('0' + fd / scale % 10);
  return do_exec(path, variables,
                 [&](char* const* built) { return real().fexecve(fd, arguments, built); });
}

FORKSCOPE_EXPORT int execveat(int directory, const char* path, char* const arguments[],
                              char* const variables[], int flags) noexcept {
  return do_exec(path, variables, [&](char* const* built) {
    return real().execveat(directory, path, arguments, built, flags);
  });
}
