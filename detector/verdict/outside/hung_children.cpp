// What a process is told of the processes below it that hang.
#include <fmt/format.h>

#include <algorithm>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostPids = 8;

/// Equal for copies of one process that hang at one place. Children of one process have one layout of
/// memory, so addresses tell where no function does.
std::string likeness_of(const Diagnosis& child) {
  if (!child.finding) return fmt::format("{}", child.pid);
  const Finding& finding = *child.finding;
  std::string key = fmt::format("{} {} ", int(child.answer), finding.kind);
  if (is_fingerprint(finding.fingerprint)) return key + finding.fingerprint;
  key += fmt::format("{:#x} {}", finding.lock.address, finding.waiter.call);
  for (const Frame& frame : finding.waiter.stack) key += fmt::format(" {:#x}", frame.address);
  for (const PythonFrame& frame : finding.waiter.python)
    key += fmt::format(" {}:{}", frame.file, frame.line);
  return key;
}

std::vector<const Diagnosis*> with(const Diagnosis& diagnosis, Answer answer) {
  std::vector<const Diagnosis*> chosen;
  for (const Diagnosis& child : diagnosis.hung_children)
    if (child.answer == answer) chosen.push_back(&child);
  return chosen;
}

std::string pids_of(const std::vector<const Diagnosis*>& children) {
  std::string pids = children.size() == 1 ? "process " : "processes ";
  const std::size_t shown = children.size() > kMostPids + 1 ? kMostPids : children.size();
  for (std::size_t i = 0; i < shown; ++i)
    pids += fmt::format("{}{}", i == 0                                          ? ""
                                : i + 1 == shown && shown == children.size() ? " and "
                                                                                : ", ",
                        children[i]->pid);
  if (shown < children.size()) pids += fmt::format(" and {} more", children.size() - shown);
  return pids;
}

/// "2 children that are deadlocked by a fork".
std::string counted(const Diagnosis& parent, const std::vector<const Diagnosis*>& children,
                    const char* how) {
  const bool direct = std::all_of(children.begin(), children.end(), [&](const Diagnosis* child) {
    return child->parent == parent.pid;
  });
  const bool one = children.size() == 1;
  return fmt::format("{} {} that {} {}deadlocked by a fork",
                     one ? "a" : std::to_string(children.size()),
                     direct ? (one ? "child" : "children") : (one ? "descendant" : "descendants"),
                     one ? "is" : "are", how);
}

}  // namespace

Answer whole_answer(const Diagnosis& diagnosis) {
  if (diagnosis.answer == Answer::kDeadlock || !with(diagnosis, Answer::kDeadlock).empty())
    return Answer::kDeadlock;
  return with(diagnosis, Answer::kProbable).empty() ? diagnosis.answer : Answer::kProbable;
}

std::string whole_sentence(const Diagnosis& diagnosis) {
  const auto proven = with(diagnosis, Answer::kDeadlock);
  const auto probable = with(diagnosis, Answer::kProbable);
  if (proven.empty() && probable.empty()) return diagnosis.sentence;
  std::string sentence;
  if (!proven.empty())
    sentence = "has " + counted(diagnosis, proven, "") + ": " + pids_of(proven);
  if (!probable.empty())
    sentence += (proven.empty() ? "has " : "; and ") + counted(diagnosis, probable, "probably ") +
                ": " + pids_of(probable);
  return sentence;
}

std::vector<std::vector<const Diagnosis*>> alike_children(const Diagnosis& diagnosis) {
  std::vector<std::vector<const Diagnosis*>> groups;
  std::vector<std::string> keys;
  for (const Answer answer : {Answer::kDeadlock, Answer::kProbable}) {
    for (const Diagnosis* child : with(diagnosis, answer)) {
      const std::string key = likeness_of(*child);
      const auto at = std::find(keys.begin(), keys.end(), key);
      if (at == keys.end()) {
        keys.push_back(key);
        groups.push_back({child});
      } else {
        groups[std::size_t(at - keys.begin())].push_back(child);
      }
    }
  }
  return groups;
}

}  // namespace forkscope
