#include "detector/inspect/suspects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "detector/inspect/live_process.hpp"
#include "detector/inspect/small_file.hpp"

namespace forkscope {

std::optional<Suspicion> suspicion_of(pid_t pid) {
  // One read clears most processes.
  const auto stat = parse_stat(read_small_file(fmt::format("/proc/{}/stat", pid)));
  if (!stat) return std::nullopt;
  const bool forked = (stat->flags & kForkedNoExec) != 0 && (stat->flags & kKernelThread) == 0;
  const bool ended = stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
  if (!forked || ended) return Suspicion::kNone;
  auto live = LiveProcess::open(pid);
  if (!live) return std::nullopt;
  return live->waits_for_ever();
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator("/proc", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    pid_t pid = 0;
    auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (wrong == std::errc{} && end == name.data() + name.size()) pids.push_back(pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace forkscope
