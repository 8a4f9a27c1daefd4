// Which modules lay where in one observed process.
#include <algorithm>
#include <tuple>

#include "detector/record/session.hpp"

namespace forkscope {
namespace {

/// pid, then the processes it was forked from, nearest first. Only forks within the image count: an
/// exec replaces the modules.
std::vector<std::int32_t> lineage(const Session& session, std::int32_t pid, std::uint32_t image) {
  std::map<std::int32_t, std::int32_t> parent_of;
  for (const ForkRecord& fork : session.forks) {
    if (fork.meta.image == image && fork.fork.child != 0) {
      parent_of[fork.fork.child] = fork.fork.parent;
    }
  }
  std::vector<std::int32_t> line{pid};
  for (auto step = parent_of.find(pid); step != parent_of.end();
       step = parent_of.find(step->second)) {
    // Reused pids or damage could close a circle.
    if (std::find(line.begin(), line.end(), step->second) != line.end()) break;
    line.push_back(step->second);
  }
  return line;
}

bool same_object(const ModuleRecord& a, const ModuleRecord& b) {
  return a.start == b.start && a.end == b.end && a.bias == b.bias && a.path == b.path;
}

/// Whether different objects lay at the same addresses, so that it matters who wrote the record.
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

/// Nearest relative first; newest first within a process, as a dlopen may have reused the addresses
/// of a dlclose. `modules` come newest first.
void order_by_kinship(std::vector<const ModuleRecord*>& modules, const Session& session,
                      std::int32_t pid, std::uint32_t image) {
  const std::vector<std::int32_t> line = lineage(session, pid, image);
  const auto distance = [&](const ModuleRecord* module) {
    return std::find(line.begin(), line.end(), module->meta.pid) - line.begin();
  };
  std::stable_sort(
      modules.begin(), modules.end(),
      [&](const ModuleRecord* a, const ModuleRecord* b) { return distance(a) < distance(b); });
}

}  // namespace

std::vector<ModuleRecord> modules_of(const Session& session, std::int32_t pid,
                                     std::uint32_t image) {
  std::vector<const ModuleRecord*> candidates;  // newest first
  for (auto module = session.modules.rbegin(); module != session.modules.rend(); ++module) {
    if (module->meta.image == image) candidates.push_back(&*module);
  }
  if (is_ambiguous(candidates)) order_by_kinship(candidates, session, pid, image);

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
  for (const auto& [start, module] : chosen) modules.push_back(*module);
  return modules;
}

}  // namespace forkscope
