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

/// Findings of this process already written: a loop around trylock says it once.
struct Told {
  const void* object;
  std::uint32_t generation;
  Severity severity;
};
constinit Told told[64] = {};
constinit std::uint32_t told_count = 0;

bool first_time(const void* object, Severity severity) {
  for (const Told& one : told)
    if (one.object == object && one.generation == process.generation && one.severity == severity)
      return false;
  told[told_count++ % 64] = {object, process.generation, severity};
  return true;
}

/// A thread of this process has this TID: one that was created since, or one we do not know.
/// The kernel is asked, as TIDs are reused; where it may not be asked the registry answers.
bool lives_here(std::int32_t tid) {
  long error = sys::call(SYS_tgkill, process.pid, tid, 0);
  if (error == 0) return true;
  if (error == -ESRCH) return false;
  bool found = false;
  registry.each([&](const ThreadRecord& thread) {
    found = found || (!is_lost(thread) && thread.tid == tid &&
                      thread.life.load(std::memory_order_relaxed) == Life::kAlive);
    return !found;
  });
  return found;
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

/// Threads of this process by the kernel's count; the tracker's where /proc is not there.
std::uint32_t threads_alive() {
  struct stat info {};
  if (sys::call(SYS_newfstatat, AT_FDCWD, sys::arg("/proc/self/task"), sys::arg(&info), 0) == 0 &&
      info.st_nlink > 2)
    return std::uint32_t(info.st_nlink - 2);
  return process.living.load(std::memory_order_relaxed);
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

std::uint64_t meet_mutex(ThreadRecord& thread, pthread_mutex_t* mutex, Call call,
                         const void* return_address) {
  MutexWords words(mutex);
  if (words.lock_word() == 0 || process.generation == 0) return 0;
  if (!words.plausible() || words.pshared()) return 0;  // shared: its owner may live elsewhere
  constexpr int kOwnerDied = 0x40000000;  // robust, FUTEX_OWNER_DIED: the lock call says so itself
  if ((words.lock_word() & kOwnerDied) != 0) return 0;

  Meeting meeting{};
  meeting.thread = &thread;
  meeting.object = mutex;
  meeting.call = call;
  meeting.return_address = return_address;
  meeting.lock_type = words.type();
  meeting.lock_flags = words.flags();
  meeting.living = threads_alive();
  meeting.severity = call == Call::kMutexLock ? Severity::kDeadlock : Severity::kHazard;

  std::int32_t owner = words.owner();
  if (owner == 0) {
    if (meeting.living != 1 || (words.flags() & kLockPp) != 0) return 0;
    meeting.kind = Kind::kOrphanedLock;
    meeting.evidence = Evidence::kInTransit;
    meeting.lock_flags |= kLockInTransit;
    meeting.holder = in_transit(mutex);
    if (meeting.holder == nullptr) return 0;
  } else {
    if (owner == thread.tid || lives_here(owner)) return 0;
    meeting.evidence = Evidence::kOwnerWord;
    if (process.was_forker(owner)) {
      if (meeting.living != 1) return 0;  // another thread of the child may unlock it
      meeting.kind = Kind::kSelfHeldLock;
      meeting.holder = &thread;
    } else {
      meeting.kind = Kind::kOrphanedLock;
      meeting.holder = lost_owner(owner, mutex);
      if (meeting.holder == nullptr) return 0;  // nobody we know: not ours to judge
    }
    meeting.holder_tid = owner;
  }
  if (words.lock_word() == 0) return 0;  // released while we looked
  if (!first_time(mutex, meeting.severity)) return 0;

  std::uint64_t finding = write_finding(meeting);
  if (meeting.severity != Severity::kDeadlock) return finding;
  Outcome outcome = act();
  conclude(finding, outcome);
  if (outcome == Outcome::kBroken) {
    take_away(mutex);
    return 0;
  }
  return finding;
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
  meeting.living = threads_alive();
  if (meeting.living != 1) return 0;  // somebody is left who may signal
  meeting.thread = &thread;
  meeting.kind = Kind::kLostThread;
  meeting.severity = Severity::kDeadlock;
  meeting.call = Call::kCondWait;
  meeting.object = condition;
  meeting.wait_mutex = mutex;
  meeting.return_address = return_address;
  meeting.lock_type = LockType::kCondition;
  meeting.holder_tid = meeting.holder->tid;
  if (!first_time(condition, meeting.severity)) return 0;

  std::uint64_t finding = write_finding(meeting);
  Outcome outcome = act();
  // There is no lock to take away: letting a wait through only makes it spin.
  if (outcome == Outcome::kBroken) outcome = Outcome::kBlocked;
  conclude(finding, outcome);
  return finding;
}

void call_returned(std::uint64_t finding, bool acquired) {
  if (finding != 0 && acquired) write_finding_end(finding, Outcome::kAcquired);
}

}  // namespace forkscope
