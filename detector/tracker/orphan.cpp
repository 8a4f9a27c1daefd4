// Locks: who has it is gone. Waits are in lost_wait.cpp.
#include "detector/tracker/orphan.hpp"

#include "detector/tracker/conclusion.hpp"
#include "detector/tracker/custom_locks.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

Severity severity_of(Call call) {
  return waits_of(call) == Waits::kForever ? Severity::kDeadlock : Severity::kHazard;
}

Meeting meeting_at(ThreadRecord& thread, const void* lock, Call call, const void* return_address) {
  Meeting meeting;
  meeting.thread = &thread;
  meeting.object = lock;
  meeting.call = call;
  meeting.return_address = return_address;
  meeting.severity = severity_of(call);
  return meeting;
}

/// Another thread of the child may give it up, although POSIX does not allow that: see whether it
/// does before saying never. What needs a lone thread as evidence is not said without.
bool not_yet(Meeting& meeting, bool waited, Met& met) {
  bool alone = surely_alone();
  meeting.living = alone ? 1 : process.living.load(std::memory_order_relaxed);
  if (alone) return false;
  if (meeting.evidence == Evidence::kInTransit || meeting.kind == Kind::kSelfHeldLock ||
      meeting.kind == Kind::kStaleOwner)
    return true;
  met.wait_first = !waited && meeting.severity == Severity::kDeadlock;
  return met.wait_first;
}

/// --on-deadlock=break: as if the lost thread had unlocked it.
void take_away(pthread_mutex_t* mutex) {
  auto& data = mutex->__data;
  data.__owner = 0;
  data.__count = 0;
  data.__nusers = 0;
  __atomic_store_n(&data.__lock, 0, __ATOMIC_SEQ_CST);
}

}  // namespace

Met meet_mutex(ThreadRecord& thread, pthread_mutex_t* mutex, Call call, const void* return_address,
               bool waited) {
  MutexWords words(mutex);
  if (words.lock_word() == 0 || process.generation == 0 || !words.plausible()) return {};
  constexpr int kOwnerDied = 0x40000000;  // robust, FUTEX_OWNER_DIED: the lock call says so itself
  if ((words.lock_word() & kOwnerDied) != 0) return {};

  Meeting meeting = meeting_at(thread, mutex, call, return_address);
  meeting.lock_type = words.type();
  meeting.lock_flags = words.flags();
  // The kernel may know no wait for it with a limit on our clock (FUTEX_LOCK_PI2, Linux 5.14).
  if ((meeting.lock_flags & kLockPi) != 0) waited = true;

  // What costs nothing first: most contended locks belong to a thread of this process.
  std::int32_t owner = words.owner();
  if (owner == thread.tid) return {};
  if (owner == 0) {
    if ((words.flags() & kLockPp) != 0) return {};  // the ceiling is in the word, too
    meeting.evidence = Evidence::kInTransit;
    meeting.lock_flags |= kLockInTransit;
    meeting.holder = in_transit(mutex, LockType::kUnknown);
  } else {
    meeting.evidence = Evidence::kOwnerWord;
    meeting.holder_tid = owner;
    meeting.holder = lost_owner(owner, mutex);
    if (process.was_forker(owner)) {
      meeting.kind = words.compares_owner() ? Kind::kStaleOwner : Kind::kSelfHeldLock;
      if (meeting.kind == Kind::kStaleOwner) meeting.evidence = Evidence::kWrongOwner;
      meeting.holder = &thread;
    }
  }
  if (meeting.holder == nullptr) return {};  // nobody we know: not ours to judge
  if (owner != 0 && lives_here(owner)) return {};
  if (sys::is_shared(mutex)) return {};  // whatever its attributes say
  if (Met met; not_yet(meeting, waited, met)) return met;
  if (words.lock_word() == 0 || words.owner() != owner) return {};  // released while we looked
  Conclusion done = conclude(meeting, meeting.living == 1);
  if (done.broken) {
    take_away(mutex);
    return {};
  }
  return {done.finding, false, false};
}

namespace {

/// Who has an rwlock that is held for writing: that has an owner word.
bool find_writer(Meeting& meeting, ThreadRecord& thread, std::int32_t writer) {
  if (writer == thread.tid || lives_here(writer)) return false;
  meeting.holder_tid = writer;
  if (process.was_forker(writer)) {
    meeting.kind = Kind::kStaleOwner;
    meeting.evidence = Evidence::kWrongOwner;
    meeting.holder = &thread;
  } else {
    meeting.evidence = Evidence::kOwnerWord;
    meeting.holder = lost_owner(writer, meeting.object);
  }
  return meeting.holder != nullptr;
}

/// Who has a lock without owner word, by the tables of the lost threads.
bool find_holder(Meeting& meeting, ThreadRecord& thread) {
  if (held_here(thread, meeting.object, meeting.lock_type)) return false;
  LostHolder holder = lost_holder(meeting.object, meeting.lock_type, Hold::kHeld);
  if (holder.thread != nullptr) {
    meeting.evidence = Evidence::kHolderTable;
    meeting.holder = holder.thread;
    meeting.holder_tid = holder.thread->tid;
    meeting.lock_flags |= holder.flags & kLockReader;
    return true;
  }
  // That a lost thread was on its way to it says nothing without a word that says "taken", and who
  // takes a lock of the program's own twice may do so rightly.
  if (meeting.lock_type == LockType::kCustom) return false;
  bool mine = false;
  thread.each([&](const Recorded& one) {
    mine = one.lock == meeting.object && one.type == meeting.lock_type && one.hold == Hold::kHeld;
    if (mine && (one.flags & kInherited) != 0) {  // this thread itself, before the fork
      meeting.kind = Kind::kSelfHeldLock;
      meeting.evidence = Evidence::kHolderTable;
      meeting.holder = &thread;
      meeting.holder_tid = thread.previous_tid;
      meeting.lock_flags |= one.flags & kLockReader;
    }
    return !mine;
  });
  if (mine) return meeting.holder != nullptr;  // since the fork: no matter of ours
  meeting.holder = in_transit(meeting.object, meeting.lock_type);
  meeting.evidence = Evidence::kInTransit;
  meeting.lock_flags |= kLockInTransit;
  return meeting.holder != nullptr;
}

}  // namespace

Met meet_lock(ThreadRecord& thread, const void* lock, LockType type, std::uint8_t flags, Call call,
              const void* return_address, bool waited) {
  if (process.generation == 0 || !lock_words::taken(lock, type)) return {};
  if (type == LockType::kCustom && !custom_locks::unchanged_since_fork(lock)) return {};
  Meeting meeting = meeting_at(thread, lock, call, return_address);
  meeting.lock_type = type;
  meeting.object_size = lock_words::size(type);
  std::int32_t writer = type == LockType::kRwlock ? lock_words::rwlock_writer(lock) : 0;
  bool known = writer != 0 ? find_writer(meeting, thread, writer) : find_holder(meeting, thread);
  if (!known) return {};  // nobody we know: not ours to judge
  // Readers share it.
  if (type == LockType::kCustom && (flags & meeting.lock_flags & kLockReader) != 0) return {};
  if (type == LockType::kRwlock && (flags & meeting.lock_flags & kLockReader) != 0 &&
      (meeting.kind == Kind::kSelfHeldLock || meeting.severity != Severity::kDeadlock))
    return {};
  if (sys::is_shared(lock)) return {};
  if (Met met; not_yet(meeting, waited, met)) return met;
  if (!lock_words::taken(lock, type)) return {};  // released while we looked
  if (type == LockType::kCustom && !custom_locks::unchanged_since_fork(lock)) return {};
  // How to take a lock of the program's own away only the program knows.
  Conclusion done = conclude(meeting, meeting.living == 1 && type != LockType::kCustom);
  return {done.finding, false, done.broken};
}

void meet_stale_owner(ThreadRecord& thread, const void* lock, LockType type, std::uint8_t flags,
                      std::int32_t owner, Call call, const void* return_address) {
  if (process.generation == 0 || !process.was_forker(owner) || lives_here(owner)) return;
  if (sys::is_shared(lock)) return;
  Meeting meeting = meeting_at(thread, lock, call, return_address);
  meeting.kind = Kind::kStaleOwner;
  meeting.severity = Severity::kHazard;
  meeting.evidence = Evidence::kWrongOwner;
  meeting.lock_type = type;
  meeting.lock_flags = flags;
  meeting.holder = &thread;
  meeting.holder_tid = owner;
  meeting.living = process.living.load(std::memory_order_relaxed);
  conclude(meeting, false);
}

void call_returned(std::uint64_t finding, const void* object, bool acquired) {
  if (finding != 0 && acquired) take_back(finding, object);
}

}  // namespace forkscope
