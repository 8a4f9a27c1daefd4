#include "detector/verdict/looks.hpp"

#include <algorithm>
#include <map>

#include "detector/verdict/address_space.hpp"
#include "detector/verdict/known_waits.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {

void name_looks(std::vector<FirstLook>& looks, Namer& namer) {
  for (FirstLook& look : looks) {
    if (!look.holder_frames.empty() || look.holder_stack.addresses.empty()) continue;
    look.holder_frames =
        AddressSpace(look.modules, nullptr, namer).stack(look.holder_stack);
  }
}

void join_looks(std::vector<Candidate>& candidates, const RunFacts& facts, Namer& namer) {
  std::map<std::uint64_t, const FirstLook*> by_record;
  for (const FirstLook& look : facts.looks) by_record.emplace(look.record, &look);
  for (Candidate& candidate : candidates) {
    Finding& finding = candidate.finding;
    if (finding.records.size() != 1) continue;
    const auto found = by_record.find(finding.records.front());
    if (found == by_record.end()) continue;
    std::vector<FirstLook> look{*found->second};
    name_looks(look, namer);
    finding.waiter.python = std::move(look.front().waiter);
    correct_kind(finding);
    finding.holder.python = std::move(look.front().holder);
    finding.holder.now = std::move(look.front().holder_frames);
    finding.fork_python = python_fork_stack(finding.waiter.python);
  }
}

std::vector<PythonFrame> python_fork_stack(const std::vector<PythonFrame>& waiter) {
  const auto forked = std::find_if(waiter.begin(), waiter.end(),
                                   [](const PythonFrame& frame) { return frame.may_fork; });
  std::vector<PythonFrame> stack(forked, waiter.end());
  // Its line is where the child is by now.
  if (!stack.empty()) stack.front().line = 0;
  return stack;
}

void correct_kind(Finding& recorded) {
  const bool lost = recorded.kind == kind_word(record::Kind::kLostThread);
  if (!lost && recorded.kind != kind_word(record::Kind::kOrphanedLock)) return;
  if (recorded.waiter.python.empty()) return;
  const auto kind = lost ? record::Kind::kLostThread : record::Kind::kOrphanedLock;
  const KnownWait known = known_wait(recorded.waiter.stack, recorded.waiter.python, false);
  recorded.kind = kind_word(kind_of_known(kind, known));
}

}  // namespace forkscope
