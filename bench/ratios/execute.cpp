#include "bench/ratios/execute.hpp"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string_view>
#include <system_error>

namespace forkscope::bench {
namespace {

std::system_error failure(const char* what) { return {errno, std::generic_category(), what}; }

std::vector<std::string> environment(const std::vector<std::string>& more) {
  std::vector<std::string> out = more;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("LD_PRELOAD=") && !text.starts_with("FORKSCOPE_") &&
        !text.starts_with("BENCHMARK_"))
      out.emplace_back(text);
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Descriptor::Descriptor(int fd, const char* what) : fd_(fd) {
  if (fd < 0) throw failure(what);
}

Descriptor::~Descriptor() { close(fd_); }

std::string contents(const Descriptor& file) {
  std::string text;
  char buffer[65536];
  for (off_t at = 0;;) {
    const ssize_t got = pread(file.get(), buffer, sizeof buffer, at);
    if (got <= 0) return text;
    text.append(buffer, std::size_t(got));
    at += got;
  }
}

Finished execute(std::vector<std::string> arguments,
                 const std::vector<std::string>& more_environment, const std::vector<int>& cpus,
                 double timeout) {
  const Descriptor output(memfd_create("stdout", MFD_CLOEXEC), "memfd_create");
  const Descriptor errors(memfd_create("stderr", MFD_CLOEXEC), "memfd_create");
  auto env = environment(more_environment);
  const auto argv = pointers(arguments), envp = pointers(env);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  const auto begin = std::chrono::steady_clock::now();
  const pid_t self = getpid(), pid = fork();
  if (pid < 0) throw failure("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // do not outlive an interrupted command
    if (getppid() != self) _exit(127);
    setpgid(0, 0);  // so that a hung program goes with its children
    dup2(output.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
    if (cpus.empty() || sched_setaffinity(0, sizeof set, &set) == 0)
      execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  setpgid(pid, pid);  // both do it, as either may come first
  int ended;
  {
    // Not pidfd_open(): sys/pidfd.h of glibc 2.36 forgets extern "C".
    const Descriptor process(int(syscall(SYS_pidfd_open, pid, 0)), "pidfd_open");
    pollfd ready{process.get(), POLLIN, 0};
    ended = poll(&ready, 1, int(timeout * 1000));
  }
  Finished finished;
  finished.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  // Also of one that ended: what it left behind, as a server. Not yet waited for, it keeps its
  // group.
  kill(-pid, SIGKILL);
  while (waitpid(pid, &finished.status, 0) < 0)
    if (errno != EINTR) throw failure("waitpid");
  if (ended < 0) throw Interrupted("interrupted");
  if (ended == 0)
    throw std::runtime_error("it hung and was killed after " + std::to_string(int(timeout)) + " s");
  finished.output = contents(output);
  finished.errors = contents(errors);
  return finished;
}

}  // namespace forkscope::bench
