#include "bench/cost/drive/measure.hpp"

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
#include <cstring>
#include <sstream>
#include <string_view>

#include "bench/cost/drive/plan.hpp"
#include "bench/ratios/machine.hpp"

namespace forkscope::cost {
namespace {

constexpr int kSkipped = 77;  // exit status of the measuring programs

class Descriptor {
 public:
  Descriptor(int fd, const char* what) : fd_(fd) {
    if (fd < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  }
  ~Descriptor() { close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string contents(int fd) {
  std::string text;
  char buffer[65536];
  for (off_t at = 0;;) {
    const ssize_t got = pread(fd, buffer, sizeof buffer, at);
    if (got <= 0) return text;
    text.append(buffer, std::size_t(got));
    at += got;
  }
}

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

cpu_set_t last_two() {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : bench::choose_cpus().two) CPU_SET(cpu, &set);
  return set;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto begin = text.rfind('\n');
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

std::string ending(const Finished& finished) {
  const std::string how = WIFSIGNALED(finished.status)
                              ? "signal " + std::to_string(WTERMSIG(finished.status)) + " ended it"
                              : "it exited with " + std::to_string(WEXITSTATUS(finished.status));
  const std::string said = last_line(finished.errors);
  return said.empty() ? how : how + ": " + said;
}

}  // namespace

Finished run_program(std::vector<std::string> arguments, double timeout, bool pinned,
                     const std::vector<std::string>& more_environment) {
  const Descriptor output(memfd_create("stdout", MFD_CLOEXEC), "memfd_create");
  const Descriptor errors(memfd_create("stderr", MFD_CLOEXEC), "memfd_create");
  auto env = environment(more_environment);
  const auto argv = pointers(arguments), envp = pointers(env);
  const cpu_set_t cpus = last_two();
  const auto begin = std::chrono::steady_clock::now();
  const pid_t self = getpid(), pid = fork();
  if (pid < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // do not outlive an interrupted command
    if (getppid() != self) _exit(127);
    setpgid(0, 0);  // so that a hung case goes with its children
    dup2(output.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
    if (!pinned || sched_setaffinity(0, sizeof cpus, &cpus) == 0)
      execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  setpgid(pid, pid);  // both do it, as either may come first
  int ended;
  {
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
    if (errno != EINTR) throw std::runtime_error("waitpid failed");
  if (ended < 0) throw Interrupted("interrupted");
  if (ended == 0)
    throw std::runtime_error("it hung and was killed after " + std::to_string(int(timeout)) + " s");
  finished.output = contents(output.get());
  finished.errors = contents(errors.get());
  return finished;
}

Outcome measure_case(const Programs& programs, const Spec& spec, double budget) {
  const std::string name = name_of(spec);
  const Method* method = find_method(spec.method);
  const bool python = method != nullptr && method->python;
  // Inherited by the program that writes it.
  const Descriptor samples(memfd_create("samples", 0), "memfd_create");
  std::vector<std::string> arguments;
  if (python) arguments.push_back(programs.python);
  arguments.push_back(programs.folder + (python ? "/python_start.py" : "/cost_bench"));
  arguments.push_back(name);
  arguments.push_back("--samples=/dev/fd/" + std::to_string(samples.get()));
  arguments.push_back("--budget=" + std::to_string(budget));
  const bool pinned = spec.concurrency == 1 && spec.tasks == 0;
  const double timeout = 30 + 20 * (budget + overhead_seconds(spec));
  const Finished finished = run_program(std::move(arguments), timeout, pinned);
  Outcome outcome;
  if (WIFEXITED(finished.status) && WEXITSTATUS(finished.status) == kSkipped)
    outcome.skip = last_line(finished.errors);
  else if (finished.status != 0)
    throw std::runtime_error(ending(finished));
  else
    outcome.samples = parse_samples(contents(samples.get()));
  return outcome;
}

std::map<std::string, std::vector<double>> parse_samples(const std::string& text) {
  std::map<std::string, std::vector<double>> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line == "end") return samples;
    std::istringstream words(line);
    std::string clock;
    words >> clock;
    auto& values = samples[clock];
    for (double value; words >> value;) values.push_back(value);
    if (!words.eof() || values.empty()) break;
  }
  throw std::runtime_error("its samples are not complete");
}

void make_interruptible() {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // hence no SA_RESTART: poll() ends with EINTR
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace forkscope::cost
