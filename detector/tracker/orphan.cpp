#include "detector/tracker/orphan.hpp"

#include <signal.h>
#include <sys/stat.h>

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

/// glibc: bit 0 of __wrefs is set for PTHREAD_PROCESS_SHARED (nptl/pthread_cond_common.c).
bool condition_is_shared(const pthread_cond_t* condition) {
  return (condition->__data.__wrefs & 1u) != 0;
}

bool is_lost(const ThreadRecord& thread) { return thread.generation < process.generation; }

/// Findings of this process already written: a loop around trylock says it once. A hash set; where
/// it is full, hazards are no longer told, deadlocks always.
class Told {
 public:
  /// Whether it has not been told yet; it has from now on.
  bool first(const void* object, Severity severity) {
    Entry* entry = find(object, severity);
    if (entry == nullptr) return severity == Severity::kDeadlock;
    if (entry->object == object && entry->generation == process.generation) return false;
    *entry = {object, process.generation, severity};
    return true;
  }
  void forget(const void* object) {
    Entry* entry = find(object, Severity::kDeadlock);
    if (entry != nullptr && entry->object == object) entry->object = nullptr;
  }

 private:
  struct Entry {
    const void* object;
    std::uint32_t generation;
    Severity severity;
  };
  /// Its entry, or one that is free or of a process before this one, or null.
  Entry* find(const void* object, Severity severity) {
    auto hash = (reinterpret_cast<std::uintptr_t>(object) >> 3) * 0x9e3779b97f4a7c15u >> 32;
    Entry* usable = nullptr;
    for (std::uint32_t probe = 0; probe < kProbes; ++probe) {
      Entry& entry = entries_[(hash + probe) % kEntries];
      bool current = entry.object != nullptr && entry.generation == process.generation;
      if (current && entry.object == object && entry.severity == severity) return &entry;
      if (!current && usable == nullptr) usable = &entry;
    }
    return usable;
  }
  static constexpr std::uint32_t kEntries = 1024, kProbes = 16;
  Entry entries_[kEntries];
};
constinit Told told{};

/// A thread of this process has this TID: one that was created since, or one we do not know.
/// Own threads first; then the kernel is asked, as TIDs are reused.
bool lives_here(std::int32_t tid) {
  bool found = false;
  registry.each([&](const ThreadRecord& thread) {
    found = !is_lost(thread) && thread.tid == tid &&
            thread.life.load(std::memory_order_relaxed) == Life::kAlive;
    return !found;
  });
  return found || sys::call(SYS_tgkill, process.pid, tid, 0) == 0;
}

/// The lost thread with this TID; of several (reused TIDs) one that has the lock recorded.
const ThreadRecord* lost_owner(std::int32_t tid, const void* lock) {
  const ThreadRecord* best = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (!is_lost(thread) || thread.tid != tid) return true;
    bool recorded = table::contains(thread, lock);
    if (recorded || best == nullptr) best = &thread;
    return !recorded;
  });
  return best;
}

/// Locked, but the owner word is not written: a lost thread that was just taking or releasing it.
const ThreadRecord* in_transit(const void* lock) {
  const ThreadRecord* best = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (is_lost(thread) && table::contains(thread, lock)) best = &thread;
    return best == nullptr;
  });
  return best;
}

/// Whether the calling thread is surely alone in its process, by the kernel's count: threads made
/// without pthread_create are not known here. Not where /proc cannot tell.
bool surely_alone() {
  struct stat info {};
  return process.living.load(std::memory_order_relaxed) == 1 &&
         sys::call(SYS_newfstatat, AT_FDCWD, sys::arg("/proc/self/task"), sys::arg(&info), 0) ==
             0 &&
         info.st_nlink == 3;  // ".", ".." and one thread
}

bool signalled(const ThreadRecord& thread, const void* condition) {
  for (const void* one : thread.signalled)
    if (one == condition) return true;
  return false;
}

/// What ties a lost thread to the condition variable somebody waits on here.
bool served(const ThreadRecord& thread, const pthread_cond_t* condition,
            const pthread_mutex_t* mutex, Evidence& evidence) {
  if (thread.wait_object.load() == condition || signalled(thread, condition)) {
    evidence = Evidence::kSameCondition;
    return true;
  }
  if (thread.wait_mutex.load() == mutex || table::contains(thread, mutex)) {
    evidence = Evidence::kSameMutex;
    return true;
  }
  return false;
}

/// --on-deadlock=break: as if the lost thread had unlocked it.
void take_away(pthread_mutex_t* mutex) {
  auto& data = mutex->__data;
  data.__owner = 0;
  data.__count = 0;
  data.__nusers = 0;
  __atomic_store_n(&data.__lock, 0, __ATOMIC_SEQ_CST);
}

/// Ends the process where that was asked for; else says whether the lock may be taken away.
Outcome act() {
  switch (process.options.on_deadlock) {
    case OnDeadlock::kReport:
      return Outcome::kBlocked;
    case OnDeadlock::kKill:
      return Outcome::kKilled;
    case OnDeadlock::kAbort:
      return Outcome::kAborted;
    case OnDeadlock::kExit:
      return Outcome::kExited;
    case OnDeadlock::kBreak:
      return Outcome::kBroken;
  }
  return Outcome::kBlocked;
}

void raise_default(int signal) {
  struct {  // the kernel's struct sigaction
    std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  } defaults;
  std::uint64_t unblocked = std::uint64_t{1} << (signal - 1);
  sys::call(SYS_rt_sigaction, signal, sys::arg(&defaults), 0, 8);
  sys::call(SYS_rt_sigprocmask, 1 /* SIG_UNBLOCK of the kernel */, sys::arg(&unblocked), 0, 8);
  sys::call(SYS_tgkill, process.pid, sys::gettid(), signal);
}

/// Writes what becomes of the child, then does it.
void conclude(std::uint64_t finding, Outcome outcome) {
  write_finding_end(finding, outcome);
  switch (outcome) {
    case Outcome::kKilled:
      sys::call(SYS_kill, process.pid, SIGKILL);
      break;
    case Outcome::kAborted:
      raise_default(SIGABRT);
      break;
    case Outcome::kExited:
      sys::call(SYS_exit_group, process.options.exit_status);
      break;
    case Outcome::kBlocked:
    case Outcome::kBroken:
    case Outcome::kAcquired:
      break;
  }
}

}  // namespace

Met meet_mutex(ThreadRecord& thread, pthread_mutex_t* mutex, Call call, const void* return_address,
               bool waited) {
  MutexWords words(mutex);
  if (words.lock_word() == 0 || process.generation == 0) return {};
  if (!words.plausible() || words.pshared()) return {};  // shared: its owner may live elsewhere
  constexpr int kOwnerDied = 0x40000000;  // robust, FUTEX_OWNER_DIED: the lock call says so itself
  if ((words.lock_word() & kOwnerDied) != 0) return {};

  Meeting meeting{};
  meeting.thread = &thread;
  meeting.object = mutex;
  meeting.call = call;
  meeting.return_address = return_address;
  meeting.lock_type = words.type();
  meeting.lock_flags = words.flags();
  meeting.severity = call == Call::kMutexLock ? Severity::kDeadlock : Severity::kHazard;
  meeting.kind = Kind::kOrphanedLock;

  // What costs nothing first: most contended locks belong to a thread of this process.
  std::int32_t owner = words.owner();
  if (owner == thread.tid) return {};
  if (owner == 0) {
    if ((words.flags() & kLockPp) != 0) return {};  // the ceiling is in the word, too
    meeting.evidence = Evidence::kInTransit;
    meeting.lock_flags |= kLockInTransit;
    meeting.holder = in_transit(mutex);
  } else {
    meeting.evidence = Evidence::kOwnerWord;
    meeting.holder_tid = owner;
    meeting.holder = lost_owner(owner, mutex);
    if (process.was_forker(owner)) {
      meeting.kind = Kind::kSelfHeldLock;
      meeting.holder = &thread;
    }
  }
  if (meeting.holder == nullptr) return {};  // nobody we know: not ours to judge
  if (owner != 0 && lives_here(owner)) return {};
  if (sys::is_shared(mutex)) return {};  // whatever its attributes say

  // Another thread of the child may unlock it, although POSIX does not allow that: see whether it
  // does before saying never. What needs a lone thread as evidence is not said without.
  bool alone = surely_alone();
  if (!alone && meeting.evidence == Evidence::kInTransit) return {};
  if (!alone && meeting.kind == Kind::kSelfHeldLock) return {};
  if (!alone && !waited && meeting.severity == Severity::kDeadlock) return {0, true};
  meeting.living = alone ? 1 : process.living.load(std::memory_order_relaxed);

  if (words.lock_word() == 0 || words.owner() != owner) return {};  // released while we looked
  if (meeting.severity != Severity::kDeadlock && process.arena.crowded()) return {};
  if (!told.first(mutex, meeting.severity)) return {};

  std::uint64_t finding = write_finding(meeting);
  if (meeting.severity != Severity::kDeadlock) return {finding, false};
  Outcome outcome = act();
  conclude(finding, outcome);
  if (outcome != Outcome::kBroken) return {finding, false};
  take_away(mutex);
  return {};
}

std::uint64_t meet_condition(ThreadRecord& thread, pthread_cond_t* condition,
                             pthread_mutex_t* mutex, const void* return_address) {
  if (process.generation == 0 || condition_is_shared(condition)) return 0;
  Meeting meeting{};
  registry.each([&](const ThreadRecord& other) {
    if (is_lost(other) && served(other, condition, mutex, meeting.evidence))
      meeting.holder = &other;
    return meeting.holder == nullptr || meeting.evidence != Evidence::kSameCondition;
  });
  if (meeting.holder == nullptr) return 0;
  if (!surely_alone()) return 0;  // somebody is left who may signal
  meeting.living = 1;
  meeting.thread = &thread;
  meeting.kind = Kind::kLostThread;
  meeting.severity = Severity::kDeadlock;
  meeting.call = Call::kCondWait;
  meeting.object = condition;
  meeting.wait_mutex = mutex;
  meeting.return_address = return_address;
  meeting.lock_type = LockType::kCondition;
  meeting.holder_tid = meeting.holder->tid;
  if (!told.first(condition, meeting.severity)) return 0;

  std::uint64_t finding = write_finding(meeting);
  Outcome outcome = act();
  // There is no lock to take away: letting a wait through only makes it spin.
  if (outcome == Outcome::kBroken) outcome = Outcome::kBlocked;
  conclude(finding, outcome);
  return finding;
}

void call_returned(std::uint64_t finding, const void* object, bool acquired) {
  if (finding == 0 || !acquired) return;
  write_finding_end(finding, Outcome::kAcquired);
  told.forget(object);
}

}  // namespace forkscope
