#include "bench/ratios/run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "detector/record/record.hpp"

namespace forkscope::bench {
namespace {

namespace fs = std::filesystem;

// Far beyond any case; a benchmark that takes longer hangs.
constexpr int kTimeoutMs = 180'000;

std::system_error failure(const std::string& what) {
  return {errno, std::generic_category(), what};
}

class Descriptor {
 public:
  explicit Descriptor(int fd, const char* what) : fd_(fd) {
    if (fd < 0) throw failure(what);
  }
  ~Descriptor() { close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string contents(const Descriptor& file) {
  std::string text;
  char buffer[4096];
  for (off_t at = 0;;) {
    const ssize_t got = pread(file.get(), buffer, sizeof buffer, at);
    if (got <= 0) return text;
    text.append(buffer, std::size_t(got));
    at += got;
  }
}

std::vector<std::string> environment(const std::vector<std::string>& extra) {
  std::vector<std::string> out = extra;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("LD_PRELOAD=") && !text.starts_with("FORKSCOPE_OPTIONS=") &&
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

struct Finished {
  int status;
  std::string output, errors;
};

Finished execute(std::vector<std::string> arguments, std::vector<std::string> env,
                 const std::vector<int>& cpus) {
  const Descriptor output(memfd_create("stdout", MFD_CLOEXEC), "memfd_create");
  const Descriptor errors(memfd_create("stderr", MFD_CLOEXEC), "memfd_create");
  const auto argv = pointers(arguments), envp = pointers(env);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);

  const pid_t pid = fork();
  if (pid < 0) throw failure("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // do not outlive an interrupted driver
    setpgid(0, 0);                     // so that a hung benchmark goes with its children
    dup2(output.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
    if (sched_setaffinity(0, sizeof set, &set) == 0) execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }

  setpgid(pid, pid);  // both do it, as either may come first

  // Not pidfd_open(): sys/pidfd.h of glibc 2.36 forgets extern "C".
  const Descriptor process(int(syscall(SYS_pidfd_open, pid, 0)), "pidfd_open");
  pollfd ready{process.get(), POLLIN, 0};
  const int ended = poll(&ready, 1, kTimeoutMs);
  if (ended != 1) kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw failure("waitpid");
  if (ended < 0) throw std::runtime_error("interrupted");
  if (ended == 0)
    throw std::runtime_error(fmt::format("it hung and was killed after {} s", kTimeoutMs / 1000));
  return {status, contents(output), contents(errors)};
}

// The counters of the one benchmark in a JSON report of Google Benchmark.
std::map<std::string, double> counters_of(const std::string& report) {
  if (report.empty()) throw std::runtime_error("it knows no such benchmark");
  const auto document = nlohmann::json::parse(report);
  const auto& benchmarks = document.at("benchmarks");
  if (benchmarks.size() != 1)
    throw std::runtime_error(fmt::format("it ran {} benchmarks instead of one", benchmarks.size()));
  const auto& only = benchmarks.at(0);
  if (only.value("error_occurred", false))
    throw std::runtime_error(only.value("error_message", "it failed without a message"));
  std::map<std::string, double> counters;
  for (const auto& [key, value] : only.items())
    if (value.is_number()) counters[key] = value.get<double>();
  return counters;
}

// A preloaded run proves by its session that the library was at work: a loader that cannot load it
// only warns, and bare would be compared with bare.
std::string check_session(const fs::path& session) {
  const fs::path file = session / record::kArenaFileName;
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::runtime_error("the preload library wrote no session");
  const Descriptor arena(fd, "open");
  struct stat info;
  if (fstat(fd, &info) != 0 || std::size_t(info.st_size) < sizeof(record::ArenaHeader))
    throw std::runtime_error("the preload library's session is empty");
  void* map = mmap(nullptr, sizeof(record::ArenaHeader), PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) throw failure("mmap of the session");
  const auto& header = *static_cast<const record::ArenaHeader*>(map);
  const bool valid = std::memcmp(header.magic, record::kArenaMagic, sizeof header.magic) == 0 &&
                     header.version == record::kFormatVersion;
  const auto dropped = header.counters.dropped_records.load();
  munmap(map, sizeof(record::ArenaHeader));
  if (!valid) throw std::runtime_error("the preload library's session has another format");
  if (dropped == 0) return "";
  return "a session was full, so that a preloaded run recorded less than its share";
}

}  // namespace

SessionRoot::SessionRoot() {
  std::string pattern = (fs::temp_directory_path() / "forkscope-bench-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw failure("cannot make the temporary folder " + pattern);
  root_ = pattern;
}

SessionRoot::~SessionRoot() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

fs::path SessionRoot::make_session() {
  const fs::path session = root_ / std::to_string(++count_);
  fs::create_directory(session);
  return session;
}

RunResult run_case(const Case& what, Side side, const Setup& setup, SessionRoot& sessions) try {
  std::vector<std::string> extra;
  fs::path session;
  if (side == Side::kPreloaded) {
    extra.push_back("LD_PRELOAD=" + setup.preload.string());
    if (setup.session) {
      session = sessions.make_session();
      extra.push_back("FORKSCOPE_OPTIONS=session=" + session.string() + ":log=none");
    }
  }
  const Finished finished =
      execute({(setup.programs / what.program).string(), "--benchmark_format=json",
               "--benchmark_filter=^" + what.benchmark + "(/|$)",
               fmt::format("--benchmark_min_time={}", setup.min_time)},
              environment(extra), what.cpus == 1 ? setup.pinning.one : setup.pinning.two);
  if (finished.status != 0)
    throw std::runtime_error(
        WIFSIGNALED(finished.status)
            ? fmt::format("signal {} ended it: {}", WTERMSIG(finished.status), finished.errors)
            : fmt::format("it exited with {}: {}", WEXITSTATUS(finished.status), finished.errors));
  RunResult result;
  result.counters = counters_of(finished.output);
  if (!session.empty()) {
    result.remark = check_session(session);
    fs::remove_all(session);
  }
  return result;
} catch (const std::exception& error) {
  throw std::runtime_error(fmt::format("case {}, {}: {}", what.name,
                                       side == Side::kBare ? "bare" : "preloaded", error.what()));
}

}  // namespace forkscope::bench
