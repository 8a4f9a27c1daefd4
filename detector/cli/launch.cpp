#include "detector/cli/launch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "detector/cli/failure.hpp"
#include "detector/cli/program.hpp"
#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& string : strings) result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

/// errno of an exec that failed, 0 when the pipe was closed by an exec that succeeded.
int exec_error(int pipe) {
  int error = 0;
  ssize_t size;
  do size = read(pipe, &error, sizeof error);
  while (size < 0 && errno == EINTR);
  return size == ssize_t(sizeof error) ? error : 0;
}

}  // namespace

DescriptorLimit::DescriptorLimit() {
  if (getrlimit(RLIMIT_NOFILE, &inherited_) != 0) return;
  const rlimit all{inherited_.rlim_max, inherited_.rlim_max};
  setrlimit(RLIMIT_NOFILE, &all);
}

void DescriptorLimit::restore() const noexcept { setrlimit(RLIMIT_NOFILE, &inherited_); }

void DescriptorLimit::require_some() const {
  constexpr std::size_t kSome = 6;  // a pipe to launch by, the program's entry, files of /proc
  UniqueFd some[kSome];
  for (UniqueFd& one : some) {
    one = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!one)
      throw Failure(fmt::format("cannot open the files to watch a program with: {}; raise the "
                                "limit of open files (ulimit -n)",
                                error_text(errno)));
  }
}

pid_t launch(const std::string& path, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const Signals& signals,
             const DescriptorLimit& descriptors) {
  // Everything that allocates comes before the fork.
  std::vector<char*> argv = pointers(command);
  std::vector<char*> envp = pointers(environment);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Failure("cannot open a pipe: " + error_text(errno));
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  pid_t child = fork();
  if (child < 0) throw Failure("cannot start a process: " + error_text(errno));
  if (child == 0) {
    signals.restore();
    descriptors.restore();
    execve(path.c_str(), argv.data(), envp.data());
    int error = errno;
    ssize_t ignored = write(write_end.get(), &error, sizeof error);
    (void)ignored;
    _exit(kCannotExecute);
  }
  write_end.reset();
  if (int error = exec_error(read_end.get())) {
    waitpid(child, nullptr, 0);
    throw exec_failure(path, error);
  }
  return child;
}

}  // namespace forkscope::cli
