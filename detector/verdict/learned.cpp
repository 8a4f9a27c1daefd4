#include "detector/verdict/learned.hpp"

#include <fmt/format.h>

#include <map>

#include "detector/record/unsafe_calls.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/libc_calls.hpp"

namespace forkscope {

LearnedLock lock_of_finding(Finding finding) {
  LearnedLock learned;
  learned.forks = finding.count;
  if (finding.libc) {
    learned.function = finding.libc->function;
    learned.words = finding.libc->function + "(), which takes " + finding.libc->lock;
  } else {
    // What is left has the lock, and of a nameless one who took it.
    finding.waiter = {};
    finding.fork_stack.clear();
    learned.words = site_words(finding);
  }
  learned.lock = std::move(finding.lock);
  learned.user = std::move(finding.holder);
  return learned;
}

namespace {

LearnedLock learned_lock(const FindingRecord& record, const Context& context,
                         const Unwinder& unwind) {
  LearnedLock learned = lock_of_finding(finding_of(record, context, unwind).finding);
  // range: who made it. One that lies in a module is known by its place there.
  const record::Finding& recorded = record.finding;
  if (learned.function.empty() && learned.lock.module.empty() && recorded.range_end != 0) {
    learned.birth = fmt::format("born:{}.{}", recorded.range_begin, recorded.range_end);
    learned.words += fmt::format(", lock {} that thread {} made", recorded.range_end,
                                 recorded.range_begin);
  }
  return learned;
}

}  // namespace

std::vector<LearnedLock> learned_locks(const Context& context, const Unwinder& unwind) {
  std::vector<LearnedLock> locks;
  std::map<std::string, std::size_t> known;
  for (const FindingRecord& record : context.session.learned) {
    LearnedLock learned = learned_lock(record, context, unwind);
    // Of libc's functions all that take one lock are one.
    std::string key = learned.words;
    if (const auto call = libc_call_of(record.finding))
      key = fmt::format("libc {}", record::libc_lock_of(*call));
    const auto [entry, is_new] = known.emplace(key, locks.size());
    if (is_new)
      locks.push_back(std::move(learned));
    else
      locks[entry->second].forks += learned.forks;
  }
  return locks;
}

}  // namespace forkscope
