#include "detector/cli/watched_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "detector/inspect/proc_text.hpp"
#include "detector/verdict/outside/waits.hpp"

namespace forkscope::cli {
namespace {

/// Enough for every file read here but `children` of a process with very many.
using Buffer = char[4096];

std::string_view read_at_start(int fd, Buffer& buffer) {
  const ssize_t size = fd < 0 ? -1 : pread(fd, buffer, sizeof buffer, 0);
  return size > 0 ? std::string_view(buffer, static_cast<std::size_t>(size)) : std::string_view();
}

std::string_view read_file(const std::string& path, Buffer& buffer) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return read_at_start(fd.get(), buffer);
}

std::optional<Pulse> parse_schedstat(std::string_view text) {
  Pulse pulse;
  const char* at = text.data();
  const char* end = at + text.size();
  for (std::uint64_t* field : {&pulse.ran, &pulse.in_line, &pulse.turns}) {
    while (at < end && *at == ' ') ++at;
    const auto [stop, error] = std::from_chars(at, end, *field);
    if (error != std::errc{}) return std::nullopt;
    at = stop;
  }
  return pulse;
}

/// Whether this kernel counts: we have been on a processor.
bool counts_turns() {
  static const bool counts = [] {
    Buffer buffer;
    const auto pulse = parse_schedstat(read_file("/proc/self/schedstat", buffer));
    return pulse && pulse->turns > 0;
  }();
  return counts;
}

std::vector<pid_t> numbers_in(std::string_view text) {
  std::vector<pid_t> numbers;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    pid_t number = 0;
    const auto [stop, error] = std::from_chars(at, end, number);
    if (error == std::errc{}) numbers.push_back(number);
    at = error == std::errc{} ? stop : at + 1;
  }
  return numbers;
}

std::vector<pid_t> children_of_thread(const std::string& folder, const char* tid) {
  UniqueFd fd(open((folder + "/" + tid + "/children").c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  Buffer buffer;
  for (ssize_t size = 0; fd && (size = read(fd.get(), buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(size));
  return numbers_in(text);
}

}  // namespace

std::unique_ptr<WatchedProcess> WatchedProcess::open(pid_t pid) {
  std::unique_ptr<WatchedProcess> process(new WatchedProcess);
  process->folder_ = fmt::format("/proc/{}/task", pid);
  process->by_status_ = !counts_turns();
  const std::string pulse =
      fmt::format("{}/{}/{}", process->folder_, pid, process->by_status_ ? "status" : "schedstat");
  process->pulse_ = UniqueFd(::open(pulse.c_str(), O_RDONLY | O_CLOEXEC));
  if (!process->pulse_) return nullptr;
  Buffer buffer;
  const auto stat = parse_stat(read_file(fmt::format("/proc/{}/stat", pid), buffer));
  // The file was opened before: if it can be read now, the process is the one of `stat`.
  if (!stat || stat->state == 'Z' || stat->state == 'X' || !process->pulse()) return nullptr;
  process->id_.pid = pid;
  process->id_.parent = stat->parent;
  process->id_.state = stat->state;
  process->id_.start = stat->start;
  process->forked_ = (stat->flags & kForkedNoExec) != 0 && (stat->flags & kKernelThread) == 0;
  return process;
}

std::optional<Pulse> WatchedProcess::pulse() {
  Buffer buffer;
  const std::string_view text = read_at_start(pulse_.get(), buffer);
  if (text.empty()) return std::nullopt;
  if (!by_status_) return parse_schedstat(text);
  const auto status = parse_status(text);
  if (!status || !status->has_switches) return std::nullopt;
  return Pulse{0, 0, status->switches};
}

std::optional<Place> WatchedProcess::place() const {
  Buffer buffer;
  const auto read =
      parse_syscall(read_file(fmt::format("{}/{}/syscall", folder_, id_.pid), buffer));
  if (!read || read->running) return std::nullopt;
  const Wait wait = wait_of(read->call, kNativeAbi);
  Place place{read->call.number,
              {},
              read->call.sp,
              read->call.pc,
              wait.kind == WaitKind::kFutex && wait.for_ever,
              wait.kind == WaitKind::kTime || (wait.kind == WaitKind::kFutex && !wait.for_ever)};
  std::memcpy(place.arguments, read->call.arguments, sizeof place.arguments);
  return place;
}

bool WatchedProcess::is_probe() const {
  Buffer buffer;
  return read_file(fmt::format("{}/{}/comm", folder_, id_.pid), buffer) == "forkscope-probe\n";
}

std::size_t WatchedProcess::thread_count() const {
  // Each thread is a folder in it, and a folder counts as a link (fs/proc/base.c).
  struct stat info {};
  if (stat(folder_.c_str(), &info) != 0 || info.st_nlink < 2) return 0;
  return info.st_nlink - 2;
}

std::vector<pid_t> WatchedProcess::children(std::size_t threads) const {
  if (threads == 1) return children_of_thread(folder_, std::to_string(id_.pid).c_str());
  std::vector<pid_t> found;
  DIR* folder = opendir(folder_.c_str());
  if (folder == nullptr) return found;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    for (pid_t child : children_of_thread(folder_, entry->d_name)) found.push_back(child);
  }
  closedir(folder);
  return found;
}

}  // namespace forkscope::cli
