// Which modules lay where in an observed process, and when.
#include <algorithm>
#include <iterator>
#include <tuple>

#include "detector/record/module_history.hpp"
#include "detector/record/module_kind.hpp"

namespace forkscope {
namespace {

bool same_object(const ModuleRecord& a, const ModuleRecord& b) {
  return a.start == b.start && a.end == b.end && a.bias == b.bias && a.path == b.path;
}

/// Whether different objects lay at the same addresses, so that it matters who wrote the record and
/// when.
bool is_ambiguous(std::vector<const ModuleRecord*> modules) {
  std::sort(modules.begin(), modules.end(), [](const ModuleRecord* a, const ModuleRecord* b) {
    return std::tie(a->start, a->end) < std::tie(b->start, b->end);
  });
  for (std::size_t i = 1; i < modules.size(); ++i) {
    if (modules[i]->start < modules[i - 1]->end && !same_object(*modules[i], *modules[i - 1])) {
      return true;
    }
  }
  return false;
}

/// A process whose memory is the one asked about, until it forked.
struct Relative {
  std::int32_t pid;
  std::uint64_t until;  ///< offset
};

/// How well a module's record speaks of a process at a time: smaller is better.
struct Weight {
  bool later;            ///< than the time: only where nothing else is known
  std::size_t distance;  ///< 0: the process's own, 1: its parent's, ...
  std::uint64_t age;
  auto operator<=>(const Weight&) const = default;
};

Weight weight_of(const ModuleRecord& module, const std::vector<Relative>& line) {
  const auto relative = std::find_if(line.begin(), line.end(), [&](const Relative& one) {
    return one.pid == module.meta.pid && module.meta.offset <= one.until;
  });
  const std::uint64_t now = line.front().until;
  const bool later = module.meta.offset > now;
  return {later, static_cast<std::size_t>(relative - line.begin()),
          later ? module.meta.offset - now : now - module.meta.offset};
}

}  // namespace

ModuleHistory::ModuleHistory(const Session& session) {
  for (const ModuleRecord& module : session.modules) {
    images_[module.meta.image].modules.push_back(&module);
    processes_[{module.meta.pid, module.meta.image}].noted.push_back(module.meta.offset);
  }
  for (auto& [id, image] : images_) image.ambiguous = is_ambiguous(image.modules);
  for (const ForkRecord& fork : session.forks) {
    if (fork.fork.child == 0) continue;
    processes_[{fork.fork.child, fork.meta.image}].births.push_back(
        {fork.meta.offset, fork.fork.parent});
  }
}

ModuleHistory::Period ModuleHistory::period(std::int32_t pid, std::uint32_t image,
                                            std::uint64_t offset) const {
  const auto found = images_.find(image);
  if (found == images_.end() || !found->second.ambiguous) return {0, image, 0};
  const auto process = processes_.find({pid, image});
  if (process == processes_.end()) return {pid, image, 0};
  const auto& [births, noted] = process->second;
  const auto born = std::count_if(births.begin(), births.end(),
                                  [&](const Birth& one) { return one.offset <= offset; });
  const auto after = std::upper_bound(noted.begin(), noted.end(), offset);
  return {pid, image, static_cast<std::size_t>(born + (after - noted.begin()))};
}

std::vector<ModuleRecord> ModuleHistory::modules(std::int32_t pid, std::uint32_t image,
                                                 std::uint64_t offset) const {
  const auto found = images_.find(image);
  if (found == images_.end()) return {};
  // Only forks within the image count: an exec replaces the modules.
  std::vector<Relative> line{{pid, offset}};
  for (;;) {
    const auto process = processes_.find({line.back().pid, image});
    if (process == processes_.end()) break;
    const auto& births = process->second.births;  // the newest before it: pids are used again
    const auto birth = std::find_if(births.rbegin(), births.rend(), [&](const Birth& one) {
      return one.offset <= line.back().until;
    });
    if (birth == births.rend()) break;
    const bool circle = std::any_of(line.begin(), line.end(), [&](const Relative& one) {
      return one.pid == birth->parent && one.until <= birth->offset;
    });
    if (circle) break;
    line.push_back({birth->parent, birth->offset});
  }

  std::vector<const ModuleRecord*> candidates = found->second.modules;
  if (found->second.ambiguous) {
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](const ModuleRecord* a, const ModuleRecord* b) {
                       return weight_of(*a, line) < weight_of(*b, line);
                     });
  }
  std::map<std::uint64_t, const ModuleRecord*> chosen;  // by start, disjoint
  for (const ModuleRecord* module : candidates) {
    const auto next = chosen.lower_bound(module->start);
    const bool meets_next = next != chosen.end() && next->second->start < module->end;
    const bool meets_previous =
        next != chosen.begin() && std::prev(next)->second->end > module->start;
    if (!meets_next && !meets_previous) chosen.emplace(module->start, module);
  }
  std::vector<ModuleRecord> modules;
  modules.reserve(chosen.size());
  for (const auto& [start, module] : chosen)
    if (module->bias != kNothingLoaded) modules.push_back(*module);
  return modules;
}

std::vector<ModuleRecord> modules_of(const Session& session, std::int32_t pid,
                                     std::uint32_t image) {
  return ModuleHistory(session).modules(pid, image, kEndOfSession);
}

}  // namespace forkscope
