#include "detector/verdict/words.hpp"

#include <fmt/format.h>
#include <string.h>  // sigabbrev_np
#include <sys/mman.h>

#include <cctype>
#include <cstring>
#include <string_view>

// The switches have no default, so that the compiler names a forgotten enumerator. What follows
// them is for values that came from a damaged record.
namespace forkscope {

std::string kind_word(record::Kind kind) {
  switch (kind) {
    case record::Kind::kOrphanedLock:
      return "orphaned-lock";
    case record::Kind::kLostThread:
      return "lost-thread";
    case record::Kind::kSelfHeldLock:
      return "self-held-lock";
    case record::Kind::kStaleOwner:
      return "stale-owner";
    case record::Kind::kLibcLock:
      return "libc-lock";
    case record::Kind::kForkBypass:
      return "fork-bypass";
    case record::Kind::kSharedDescriptor:
      return "shared-descriptor";
    case record::Kind::kMissingMemory:
      return "missing-memory";
    case record::Kind::kUnsafeCall:
      return "unsafe-call";
    case record::Kind::kAtforkHandler:
      return "atfork-handler";
  }
  return "unknown";
}

std::string severity_word(record::Severity severity) {
  switch (severity) {
    case record::Severity::kDeadlock:
      return "deadlock";
    case record::Severity::kLatent:
      return "latent";
    case record::Severity::kHazard:
      return "hazard";
    case record::Severity::kNote:
      return "note";
  }
  return "note";
}

std::string api_word(record::Api api) {
  switch (api) {
#define FORKSCOPE_API(id, name, memory, handlers) \
  case record::Api::id:                           \
    return name;
#include "detector/record/apis.def"
#undef FORKSCOPE_API
  }
  return "unknown";
}

std::string call_word(record::Call call) {
  switch (call) {
#define FORKSCOPE_CALL(id, name, waits) \
  case record::Call::id:                \
    return name;
#include "detector/record/calls.def"
#undef FORKSCOPE_CALL
  }
  return "unknown";
}

std::string outcome_word(record::Outcome outcome) {
  switch (outcome) {
    case record::Outcome::kBlocked:
      return "blocked";
    case record::Outcome::kKilled:
      return "killed";
    case record::Outcome::kAborted:
      return "aborted";
    case record::Outcome::kExited:
      return "exited";
    case record::Outcome::kBroken:
      return "let through";
    case record::Outcome::kAcquired:
      return "acquired later";
  }
  return "";
}

std::string evidence_word(record::Evidence evidence) {
  switch (evidence) {
    case record::Evidence::kOwnerWord:
      return "owner-word";
    case record::Evidence::kInTransit:
      return "in-transit";
    case record::Evidence::kSameMutex:
      return "same-mutex";
    case record::Evidence::kSameCondition:
      return "same-object";
    case record::Evidence::kHolderTable:
      return "holder-table";
    case record::Evidence::kWaitedLast:
      return "waited-last";
    case record::Evidence::kNobodyLeft:
      return "nobody-left";
    case record::Evidence::kThreadGone:
      return "thread-gone";
    case record::Evidence::kInheritedWaiters:
      return "inherited-waiters";
    case record::Evidence::kWrongOwner:
      return "wrong-owner";
    case record::Evidence::kParentHolds:
      return "parent-holds";
    case record::Evidence::kFault:
      return "fault";
    case record::Evidence::kPointsThere:
      return "points-there";
    case record::Evidence::kLoaderState:
      return "loader-state";
    case record::Evidence::kVforkChild:
      return "vfork-child";
    case record::Evidence::kTookBefore:
      return "took-before";
    case record::Evidence::kBothInitialise:
      return "both-initialise";
    case record::Evidence::kLockCycle:
      return "lock-cycle";
    case record::Evidence::kForkedChild:
      return "forked-child";
    case record::Evidence::kInsideCall:
      return "inside-call";
  }
  return "unknown";
}

std::string phase_word(record::HandlerPhase phase) {
  switch (phase) {
    case record::HandlerPhase::kPrepare:
      return "prepare";
    case record::HandlerPhase::kParent:
      return "parent";
    case record::HandlerPhase::kChild:
      return "child";
  }
  return "";
}

std::string evidence_word(const record::HeldLock& held) {
  if (held.flags & record::kLockEvidence) return evidence_word(record::Evidence::kWaitedLast);
  if (held.flags & record::kLockInTransit) return evidence_word(record::Evidence::kInTransit);
  switch (held.type) {
    case record::LockType::kMutexNormal:
    case record::LockType::kMutexRecursive:
    case record::LockType::kMutexErrorcheck:
    case record::LockType::kMutexAdaptive:
      return evidence_word(record::Evidence::kOwnerWord);
    case record::LockType::kRwlock:
      // The writer is in the lock's words, readers are only counted there.
      return evidence_word(held.flags & record::kLockReader ? record::Evidence::kHolderTable
                                                            : record::Evidence::kOwnerWord);
    default:
      return evidence_word(record::Evidence::kHolderTable);
  }
}

std::string thread_state_word(record::ThreadState state) {
  switch (state) {
    case record::ThreadState::kRunning:
      return "running";
    case record::ThreadState::kLocking:
      return "locking";
    case record::ThreadState::kCondWait:
      return "waiting on a condition variable";
    case record::ThreadState::kStarting:
      return "starting";
    case record::ThreadState::kExited:
      return "ended";
    case record::ThreadState::kSemWait:
      return "waiting on a semaphore";
    case record::ThreadState::kBarrierWait:
      return "waiting at a barrier";
    case record::ThreadState::kFutexWait:
      return "waiting on a futex";
    case record::ThreadState::kJoining:
      return "waiting for a thread to end";
  }
  return "unknown";
}

namespace {

std::string bare_lock_type(record::LockType type) {
  switch (type) {
#define FORKSCOPE_LOCK_TYPE(id, words) \
  case record::LockType::id:           \
    return words;
#include "detector/record/lock_types.def"
#undef FORKSCOPE_LOCK_TYPE
  }
  return "lock";
}

}  // namespace

std::string lock_type_words(record::LockType type, std::uint8_t flags) {
  std::string words;
  if (flags & record::kLockRobust) words += "robust ";
  if (flags & record::kLockPshared) words += "process-shared ";
  if (flags & record::kLockPi) words += "priority-inheritance ";
  if (flags & record::kLockPp) words += "priority-protected ";
  return words + bare_lock_type(type);
}

std::string not_observed_clause(record::NotObserved reason) {
  switch (reason) {
    case record::NotObserved::kObserved:
      return "";
    case record::NotObserved::kStatic:
      return "is statically linked";
    case record::NotObserved::kSetuid:
      return "is setuid, setgid or has file capabilities";
    case record::NotObserved::kForeignLibc:
      return "uses another C library than glibc";
    case record::NotObserved::kOtherClass:
      return "is built for another word size or architecture";
    case record::NotObserved::kUnreadable:
      return "could not be read";
    case record::NotObserved::kUnreachable:
      return "could not open the library or the session from where it was started (chroot, another "
             "mount namespace, or fewer rights)";
    case record::NotObserved::kConfined:
      return "was started under a seccomp filter that forbids what the library calls";
  }
  return "was not observed";
}

bool is_try(record::Call call) { return record::waits_of(call) == record::Waits::kTry; }

bool is_timed(record::Call call) { return record::waits_of(call) == record::Waits::kTimed; }

bool is_condition_wait(record::Call call) {
  return call == record::Call::kCondWait || call == record::Call::kCondTimedwait ||
         call == record::Call::kCondClockwait || call == record::Call::kCndWait ||
         call == record::Call::kCndTimedwait;
}

std::string call_words(const std::string& name) {
  if (name.find(' ') != std::string::npos && name.find('(') == std::string::npos) {
    return "a " + name;
  }
  return name.find('(') == std::string::npos ? name + "()" : name;
}

std::string mode_word(record::LockType type, std::uint8_t flags) {
  switch (type) {
    case record::LockType::kRwlock:
    case record::LockType::kFlock:
    case record::LockType::kOfdLock:
    case record::LockType::kRecordLock:
      if (flags & record::kLockReader) return "read";
      return flags & record::kLockInTransit ? "" : "write";
    case record::LockType::kCustom:  // one that knows a single way is not "held for writing"
      return flags & record::kLockReader ? "read" : "";
    default:
      return "";
  }
}

std::string advice_word(std::uint32_t advice) {
  switch (advice) {
    case MADV_DONTFORK:
      return "MADV_DONTFORK";
    case MADV_WIPEONFORK:
      return "MADV_WIPEONFORK";
    default:
      return "";
  }
}

std::string signal_word(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : fmt::format("signal {}", signal);
}

std::string thread_name(const char (&name)[record::kThreadNameSize]) {
  return std::string(name, ::strnlen(name, sizeof(name)));
}

std::string thread_words(std::int32_t tid, const std::string& name) {
  if (tid == 0) return name.empty() ? "a thread" : fmt::format("a thread ({})", name);
  return name.empty() ? fmt::format("thread {}", tid) : fmt::format("thread {} ({})", tid, name);
}

std::string lock_words(const LockInfo& lock) {
  std::string type = lock.type.empty() ? "lock" : lock.type;
  if (type.starts_with("initialisation")) type = "the " + type;
  // A socket, a pipe: only files have names.
  if (lock.descriptor && lock.file.empty() && !type.ends_with(" lock"))
    return fmt::format("{} (descriptor {})", type, *lock.descriptor);
  if (lock.descriptor) {
    return fmt::format("{} on {} (descriptor {})", type,
                       lock.file.empty() ? "a file without a name" : lock.file, *lock.descriptor);
  }
  // The compiler's word beside the variable has the variable's name.
  constexpr std::string_view kGuard = "guard variable for ";
  if (lock.symbol.starts_with(kGuard)) return type + " " + lock.symbol.substr(kGuard.size());
  if (!lock.name.empty()) return fmt::format("{} \"{}\"", type, lock.name);
  if (!lock.symbol.empty()) return type + " " + lock.symbol;
  if (!lock.module.empty()) {
    return fmt::format("{} at {}+{:#x}", type, base_name(lock.module), lock.offset);
  }
  return fmt::format("{} at {:#x}", type, lock.address);
}

std::string share_words(std::uint32_t per_million) {
  const double percent = per_million / 1e4;
  if (percent < 0.01) return "less than 0.01 %";
  return fmt::format("{:.{}f} %", percent, percent < 1 ? 2 : percent < 10 ? 1 : 0);
}

bool is_python_module(const std::string& path) {
  const std::string name = base_name(path);
  return name.starts_with("python") || name.starts_with("libpython");
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string with_article(const std::string& noun) {
  const bool vowel =
      !noun.empty() && std::string_view("aeiouAEIO").find(noun[0]) != std::string::npos;
  return (vowel ? "an " : "a ") + noun;
}

std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace forkscope
