#include "detector/verdict/learned.hpp"

#include <map>

#include "detector/verdict/fingerprint.hpp"

namespace forkscope {
namespace {

LearnedLock learned_lock(Finding&& finding) {
  LearnedLock learned;
  learned.forks = finding.count;
  if (finding.libc) {
    learned.function = finding.libc->function;
    learned.family = finding.libc->family;
    learned.words = finding.libc->function + "(), which takes " + finding.libc->lock;
  } else {
    // Without who met it the words have the lock, and of a nameless one who took it.
    finding.waiter = {};
    finding.fork_stack.clear();
    learned.words = site_words(finding);
  }
  learned.lock = std::move(finding.lock);
  learned.user = std::move(finding.holder);
  return learned;
}

}  // namespace

std::vector<LearnedLock> learned_locks(const Context& context, const Unwinder& unwind) {
  std::vector<LearnedLock> locks;
  std::map<std::string, std::size_t> known;
  for (const FindingRecord& record : context.session.learned) {
    LearnedLock learned = learned_lock(std::move(finding_of(record, context, unwind).finding));
    // Of libc's functions all that take one lock are one.
    const std::string key = learned.function.empty() ? learned.words : learned.family;
    const auto [entry, is_new] = known.emplace(key, locks.size());
    if (is_new)
      locks.push_back(std::move(learned));
    else
      locks[entry->second].forks += learned.forks;
  }
  return locks;
}

}  // namespace forkscope
