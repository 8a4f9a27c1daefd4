#include "detector/inspect/memory_sharers.hpp"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "detector/inspect/small_file.hpp"
#include "detector/inspect/suspects.hpp"

namespace forkscope {
namespace {

constexpr std::chrono::seconds kFresh{1};

enum class Order { kEqual, kBefore, kAfter, kGone, kRefused };

Order compare(pid_t one, pid_t other) {
  switch (syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0)) {
    case 0:
      return Order::kEqual;
    case 1:
      return Order::kBefore;
    case 2:
      return Order::kAfter;
    default:
      return errno == ESRCH ? Order::kGone : Order::kRefused;
  }
}

std::string statm(pid_t pid) { return read_small_file(fmt::format("/proc/{}/statm", pid)); }

std::string size_in(const std::string& statm) { return statm.substr(0, statm.find(' ')); }

/// Another user's: what shares its memory shows the same numbers of resident pages, too.
bool may_be_same(pid_t pid, pid_t stranger) {
  const std::string theirs = statm(stranger), ours = statm(pid);
  return theirs.empty() || ours.empty() || ours == theirs;
}

}  // namespace

void MemorySharers::list() {
  groups_.clear();
  for (pid_t pid : all_processes()) {
    const std::string text = statm(pid);
    if (!text.empty()) groups_[size_in(text)].processes.push_back(pid);
  }
  taken_ = std::chrono::steady_clock::now();
}

void MemorySharers::order(Group& group) {
  group.ordered = true;
  std::vector<pid_t>& line = group.by_memory;
  for (pid_t pid : group.processes) {
    if (const Order self = compare(pid, pid); self != Order::kEqual) {
      if (self == Order::kRefused) group.strangers.push_back(pid);
      continue;
    }
    bool here = true;
    std::size_t low = 0, high = line.size();
    while (here && low < high) {
      const std::size_t middle = low + (high - low) / 2;
      const Order there = compare(pid, line[middle]);
      if (there == Order::kGone) {
        here = compare(pid, pid) == Order::kEqual;
        if (!here) break;
        line.erase(line.begin() + std::ptrdiff_t(middle));
        --high;
      } else if (there == Order::kBefore) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    if (here) line.insert(line.begin() + std::ptrdiff_t(low), pid);
  }
}

/// Each process that decides the way is compared with those beside it as well: one that called
/// execve meanwhile has another memory, and stands in the wrong place.
MemorySharers::Found MemorySharers::search(const Group& group, pid_t pid) {
  const std::vector<pid_t>& line = group.by_memory;
  const auto in_order = [&](std::size_t i, std::size_t j) {
    const Order order = compare(line[i], line[j]);
    return order == Order::kBefore || order == Order::kEqual;
  };
  std::size_t low = 0, high = line.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if ((middle > 0 && !in_order(middle - 1, middle)) ||
        (middle + 1 < line.size() && !in_order(middle, middle + 1))) {
      return Found::kStale;
    }
    const Order there = compare(pid, line[middle]);
    if (there == Order::kEqual) {
      const auto other = [&](std::size_t i) {
        return line[i] != pid && compare(pid, line[i]) == Order::kEqual;
      };
      const bool shared = other(middle) || (middle > 0 && other(middle - 1)) ||
                          (middle + 1 < line.size() && other(middle + 1));
      return shared ? Found::kYes : Found::kNo;
    }
    if (there != Order::kBefore && there != Order::kAfter) return Found::kStale;
    if (there == Order::kBefore) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Found::kNo;
}

std::optional<bool> MemorySharers::shared(pid_t pid) {
  if (compare(pid, pid) != Order::kEqual) return std::nullopt;
  const std::string size = size_in(statm(pid));
  if (size.empty()) return std::nullopt;
  bool fresh = std::chrono::steady_clock::now() - taken_ >= kFresh;
  if (fresh) list();
  while (true) {
    Group& group = groups_[size];
    if (!group.ordered) order(group);
    const Found found = search(group, pid);
    if (found == Found::kYes) return true;
    if (found == Found::kNo) {
      const bool unsure = std::any_of(group.strangers.begin(), group.strangers.end(),
                                      [&](pid_t other) { return may_be_same(pid, other); });
      return unsure ? std::nullopt : std::optional(false);
    }
    if (fresh) return std::nullopt;  // they come and go faster than they can be compared
    list();
    fresh = true;
  }
}

}  // namespace forkscope
