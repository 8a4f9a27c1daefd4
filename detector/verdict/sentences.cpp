#include "detector/verdict/sentences.hpp"

#include <fmt/format.h>

#include <map>
#include <tuple>

#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMaxNamed = 6;  // threads listed by name in one sentence

/// "condition variable pool.work" for what a thread was at. The record says what the finding's own
/// object is; of others only the thread's state tells the type.
std::string object_words(const FindingFacts& facts, std::uint64_t object, const char* type) {
  if (object == facts.record.finding.lock) return lock_words(facts.lock);
  return lock_words(facts.space.lock(object, type));
}

std::string doing_words(const FindingFacts& facts, record::ThreadState state,
                        std::uint64_t object) {
  switch (state) {
    case record::ThreadState::kRunning:
      return "running";
    case record::ThreadState::kLocking:
      return "taking " + object_words(facts, object, "lock");
    case record::ThreadState::kCondWait:
      return "waiting on " + object_words(facts, object, "condition variable");
    case record::ThreadState::kSemWait:
      return "waiting on " + object_words(facts, object, "semaphore");
    case record::ThreadState::kBarrierWait:
      return "waiting at " + object_words(facts, object, "barrier");
    case record::ThreadState::kFutexWait:
      return "waiting on " + object_words(facts, object, "futex word");
    case record::ThreadState::kJoining:
      return "waiting for another thread to end";
    case record::ThreadState::kStarting:
      return "just starting";
    case record::ThreadState::kExited:
      break;  // "had ended" needs no "was"
  }
  return "";
}

}  // namespace

std::string fork_clause(const ForkRecord& fork) {
  const record::Fork& f = fork.fork;
  if (f.api == record::Api::kUnknown) return fmt::format("thread {} forked", f.parent_tid);
  if (f.api == record::Api::kAtfork) {
    return fmt::format("thread {} forked inside libc (as forkpty and daemon do)", f.parent_tid);
  }
  return fmt::format("thread {} called {}", f.parent_tid, call_words(api_word(f.api)));
}

std::string when_forked(const FindingFacts& facts) {
  return "when " + (facts.fork != nullptr
                        ? fork_clause(*facts.fork)
                        : fmt::format("process {} was forked", facts.record.meta.pid));
}

std::string holder_words(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  return thread_words(f.holder_tid, thread_name(f.holder_name));
}

std::string list_threads(const std::vector<const record::ThreadInfo*>& threads,
                         const std::string& conjunction) {
  std::string text;
  for (std::size_t i = 0; i < threads.size() && i < kMaxNamed; ++i) {
    const bool last = i + 1 == threads.size();
    if (i > 0) text += last ? " " + conjunction + " " : ", ";
    text += thread_words(threads[i]->tid, thread_name(threads[i]->name));
  }
  if (threads.size() > kMaxNamed) text += fmt::format(" and {} more", threads.size() - kMaxNamed);
  return text;
}

std::string what_they_did(const FindingFacts& facts) {
  using Place = std::tuple<record::ThreadState, std::uint64_t>;
  std::map<Place, std::vector<const record::ThreadInfo*>> places;
  for (const record::ThreadInfo& thread : facts.record.threads) {
    if (!thread.is_forker) places[{thread.state, thread.wait_object}].push_back(&thread);
  }
  std::string text;
  for (const auto& [place, threads] : places) {
    const auto [state, object] = place;
    const std::string doing = doing_words(facts, state, object);
    text += (text.empty() ? "" : "; ") + list_threads(threads, "and");
    text += doing.empty() ? " had ended" : (threads.size() == 1 ? " was " : " were ") + doing;
  }
  return text;
}

std::string consequence(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::int32_t pid = facts.record.meta.pid;
  const std::string call = call_words(call_word(f.call));
  if (is_try(f.call)) return fmt::format("so {} in process {} fails each time", call, pid);
  if (is_timed(f.call)) {
    return fmt::format("so {} in process {} can only end by its time limit", call, pid);
  }
  std::string text = fmt::format("so nobody in process {} will ever {} it", pid,
                                 f.lock_type == record::LockType::kOnce ? "finish" : "unlock");
  // futex(2): FUTEX_LOCK_PI fails with EPERM for an owner in another process, which glibc answers
  // with abort(), and with ESRCH once there is no such thread, after which it waits without end.
  if ((f.lock_flags & record::kLockPi) != 0 && !f.holder_exited) {
    text +=
        ". It is a priority-inheritance mutex: the kernel refuses to wait for a thread of another "
        "process, and glibc aborts (when that thread has ended, it waits for ever)";
  }
  return text;
}

bool compares_owner(const record::Finding& f) {
  return f.lock_type == record::LockType::kMutexRecursive ||
         f.lock_type == record::LockType::kMutexErrorcheck ||
         (f.lock_flags & (record::kLockRobust | record::kLockPi)) != 0;
}

}  // namespace forkscope
