// Waits: who could end it is gone. Locks are in orphan.cpp.
#include "detector/tracker/conclusion.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

Meeting meeting_at(ThreadRecord& thread, const WaitObject& object, Call call,
                   const void* return_address) {
  Meeting meeting;
  meeting.thread = &thread;
  meeting.object = object.address;
  meeting.object_size = object.size;
  meeting.lock_type = object.type;
  meeting.call = call;
  meeting.return_address = return_address;
  meeting.kind = Kind::kLostThread;
  meeting.severity = Severity::kDeadlock;
  meeting.living = 1;
  return meeting;
}

void set_holder(Meeting& meeting, const ThreadRecord* holder) {
  meeting.holder = holder;
  meeting.holder_tid = holder != nullptr ? holder->tid.load() : 0;
}

/// What ties a lost thread to the condition variable somebody waits on here.
bool served(const ThreadRecord& thread, const pthread_cond_t* condition,
            const pthread_mutex_t* mutex, Evidence& evidence) {
  if (waited_on(thread, condition) || signalled(thread, condition)) {
    evidence = Evidence::kSameCondition;
    return true;
  }
  if (thread.wait_mutex.load() == mutex || table::contains(thread, mutex)) {
    evidence = Evidence::kSameMutex;
    return true;
  }
  return false;
}

/// What may end a wait beside the threads of the process: a signal handler, or another process that
/// shares the memory.
bool may_be_ended_otherwise() {
  return process.shares_memory.load(std::memory_order_relaxed) || has_signal_handlers();
}

/// A timer that is armed is there to end a wait: by a post, a wake, or EINTR.
Severity severity_of_wait() { return has_timers() ? Severity::kHazard : Severity::kDeadlock; }

/// That a handler might do so is no reason to keep silent, but one not to end the process.
Act act_of_wait() { return may_be_ended_otherwise() ? Act::kNo : Act::kYes; }

}  // namespace

std::uint64_t meet_condition(ThreadRecord& thread, pthread_cond_t* condition,
                             pthread_mutex_t* mutex, Call call, const void* return_address) {
  if (process.generation == 0 || lock_words::condition_is_shared(condition)) return 0;
  const ThreadRecord* partner = nullptr;
  Evidence evidence = Evidence::kNobodyLeft;
  registry.each([&](const ThreadRecord& other) {
    if (is_lost(other) && served(other, condition, mutex, evidence)) partner = &other;
    return partner == nullptr || evidence != Evidence::kSameCondition;
  });
  if (partner == nullptr) return 0;
  if (!surely_alone()) return 0;  // somebody is left who may signal
  Meeting meeting = meeting_at(thread, {condition, 40, LockType::kCondition}, call, return_address);
  meeting.wait_mutex = mutex;
  meeting.evidence = evidence;
  set_holder(meeting, partner);
  return conclude(meeting, false).finding;
}

std::uint64_t meet_wait(ThreadRecord& thread, const WaitObject& object, Call call,
                        const void* return_address) {
  if (process.generation == 0 || !surely_alone()) return 0;
  Meeting meeting = meeting_at(thread, object, call, return_address);
  if (const ThreadRecord* partner = lost_partner(object.address)) {
    set_holder(meeting, partner);
    meeting.evidence = Evidence::kSameCondition;
  }
  // POSIX lets a handler post and wake, but not enter a barrier.
  if (object.type == LockType::kBarrier) return conclude(meeting, false).finding;
  if (meeting.holder == nullptr && (may_be_ended_otherwise() || !inherited(thread, object.address)))
    return 0;
  meeting.severity = severity_of_wait();
  return conclude(meeting, false, act_of_wait()).finding;
}

std::uint64_t meet_waiters(ThreadRecord& thread, const WaitObject& object, Call call,
                           const void* return_address) {
  // Threads that live here and are just leaving look the same, and will have left.
  if (process.generation == 0 || !surely_alone()) return 0;
  Meeting meeting = meeting_at(thread, object, call, return_address);
  registry.each([&](const ThreadRecord& other) {
    if (is_lost(other) && waited_on(other, object.address)) set_holder(meeting, &other);
    return meeting.holder == nullptr;
  });
  if (meeting.holder == nullptr || sys::is_shared(object.address)) return 0;
  meeting.evidence = Evidence::kInheritedWaiters;
  return conclude(meeting, false).finding;
}

Met meet_semaphore(ThreadRecord& thread, const void* semaphore, Call call,
                   const void* return_address) {
  if (process.generation == 0) return {};
  Meeting meeting =
      meeting_at(thread, {semaphore, lock_words::size(LockType::kSemaphore), LockType::kSemaphore},
                 call, return_address);
  LostHolder last = lost_holder(semaphore, LockType::kSemaphore, Hold::kHeld);
  // One that waits for it again is a consumer, and who posts is somebody else.
  if (last.thread != nullptr && waited_on(*last.thread, semaphore)) last.thread = nullptr;
  const ThreadRecord* partner = lost_partner(semaphore);
  bool like_a_lock = last.thread != nullptr && (partner == nullptr || partner == last.thread ||
                                                !signalled(*partner, semaphore));
  if (like_a_lock) {
    meeting.kind = Kind::kOrphanedLock;
    meeting.evidence = Evidence::kWaitedLast;
    meeting.lock_flags = kLockEvidence;
    set_holder(meeting, last.thread);
  } else if (partner != nullptr) {
    meeting.evidence = Evidence::kSameCondition;
    set_holder(meeting, partner);
  }
  if (waits_of(call) != Waits::kForever) {
    // That it is not free now is what the call is there to find out.
    if (!like_a_lock) return {};
    meeting.severity = Severity::kHazard;
  }
  if (sys::is_shared(semaphore) || !surely_alone()) return {};
  if (meeting.holder == nullptr && (may_be_ended_otherwise() || !inherited(thread, semaphore)))
    return {};
  if (lock_words::semaphore_value(semaphore) != 0) return {};
  if (meeting.severity == Severity::kDeadlock) meeting.severity = severity_of_wait();
  Conclusion done = conclude(meeting, like_a_lock, like_a_lock ? Act::kYes : act_of_wait());
  return {done.finding, false, done.broken};
}

}  // namespace forkscope
