#include "detector/verdict/words.hpp"

#include <fmt/format.h>

#include <cctype>
#include <cstring>

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
    case record::Api::kUnknown:
      return "unknown";
    case record::Api::kFork:
      return "fork";
    case record::Api::k_Fork:
      return "_Fork";
    case record::Api::kVfork:
      return "vfork";
    case record::Api::kClone:
      return "clone";
    case record::Api::kPosixSpawn:
      return "posix_spawn";
    case record::Api::kPosixSpawnp:
      return "posix_spawnp";
    case record::Api::kAtfork:
      return "fork inside libc";
  }
  return "unknown";
}

std::string call_word(record::Call call) {
  switch (call) {
    case record::Call::kMutexLock:
      return "pthread_mutex_lock";
    case record::Call::kMutexTrylock:
      return "pthread_mutex_trylock";
    case record::Call::kMutexTimedlock:
      return "pthread_mutex_timedlock";
    case record::Call::kMutexClocklock:
      return "pthread_mutex_clocklock";
    case record::Call::kCondWait:
      return "pthread_cond_wait";
    case record::Call::kCondTimedwait:
      return "pthread_cond_timedwait";
    case record::Call::kCondClockwait:
      return "pthread_cond_clockwait";
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
  }
  return "unknown";
}

namespace {

std::string bare_lock_type(record::LockType type) {
  switch (type) {
    case record::LockType::kUnknown:
      return "lock";
    case record::LockType::kMutexNormal:
      return "mutex";
    case record::LockType::kMutexRecursive:
      return "recursive mutex";
    case record::LockType::kMutexErrorcheck:
      return "error-checking mutex";
    case record::LockType::kMutexAdaptive:
      return "adaptive mutex";
    case record::LockType::kCondition:
      return "condition variable";
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
  }
  return "was not observed";
}

bool is_try(record::Call call) { return call == record::Call::kMutexTrylock; }

bool is_timed(record::Call call) {
  return call == record::Call::kMutexTimedlock || call == record::Call::kMutexClocklock ||
         call == record::Call::kCondTimedwait || call == record::Call::kCondClockwait;
}

bool is_condition_wait(record::Call call) {
  return call == record::Call::kCondWait || call == record::Call::kCondTimedwait ||
         call == record::Call::kCondClockwait;
}

std::string thread_name(const char (&name)[record::kThreadNameSize]) {
  return std::string(name, ::strnlen(name, sizeof(name)));
}

std::string thread_words(std::int32_t tid, const std::string& name) {
  if (tid == 0) return name.empty() ? "a thread" : fmt::format("a thread ({})", name);
  return name.empty() ? fmt::format("thread {}", tid) : fmt::format("thread {} ({})", tid, name);
}

std::string lock_words(const LockInfo& lock) {
  const std::string type = lock.type.empty() ? "lock" : lock.type;
  if (!lock.symbol.empty()) return type + " " + lock.symbol;
  if (!lock.module.empty()) {
    return fmt::format("{} at {}+{:#x}", type, base_name(lock.module), lock.offset);
  }
  return fmt::format("{} at {:#x}", type, lock.address);
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace forkscope
