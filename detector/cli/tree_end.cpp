#include "detector/cli/tree_end.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace forkscope::cli {

void TreeEnd::collect() {
  auto add = [&](const Process& process) {
    bool known = std::any_of(processes_.begin(), processes_.end(), [&](const Process& other) {
      return other.pid == process.pid && other.start == process.start;
    });
    if (!known && process.pid != getpid()) processes_.push_back(process);
  };
  if (auto root = find_process(root_); root && root->parent == getpid()) add(*root);
  for (const Process& known : std::vector<Process>(processes_)) {
    if (!alive(known)) continue;
    for (const Process& process : descendants_of(known.pid)) add(process);
  }
  try {
    for (const Process& process : living_processes(parse_session(arena_.snapshot()))) add(process);
  } catch (const std::exception&) {
    // Unreadable records, or no memory for them: what /proc shows is what there is. The final report says so.
  }
  std::erase_if(processes_, [](const Process& process) { return !alive(process); });
}

void TreeEnd::terminate() {
  collect();
  for (const Process& process : processes_) {
    send_signal(process, SIGTERM);
    send_signal(process, SIGCONT);
  }
}

void TreeEnd::kill_all() {
  // Processes that fork while we go through the list leave children behind; a few rounds catch all
  // but a fork bomb.
  for (int round = 0; round < 10; ++round) {
    collect();
    if (processes_.empty()) return;
    for (const Process& process : processes_) send_signal(process, SIGKILL);
  }
}

bool TreeEnd::gone() {
  collect();
  return processes_.empty();
}

}  // namespace forkscope::cli
