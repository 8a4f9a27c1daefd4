#include "detector/inspect/suspects.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <stdexcept>

#include "detector/inspect/live_process.hpp"

namespace forkscope {

std::optional<Suspicion> suspicion_of(pid_t pid) {
  auto live = LiveProcess::open(pid);
  auto stat = live ? live->stat() : std::nullopt;
  if (!stat) return std::nullopt;
  const bool forked = (stat->flags & kForkedNoExec) != 0 && (stat->flags & kKernelThread) == 0;
  if (!forked || stat->state == 'Z' || stat->state == 'X') return Suspicion::kNone;
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
  if (pids.empty())
    throw std::runtime_error("cannot list the processes: /proc is not mounted here, or not readable");
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace forkscope
