#include "bench/ratios/run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "bench/ratios/execute.hpp"
#include "detector/record/record.hpp"

namespace forkscope::bench {
namespace {

namespace fs = std::filesystem;

// Seconds, far beyond any case; a benchmark that takes longer hangs.
constexpr double kTimeout = 180;

std::system_error failure(const std::string& what) {
  return {errno, std::generic_category(), what};
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
              extra, what.cpus == 1 ? setup.pinning.one : setup.pinning.two, kTimeout);
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
