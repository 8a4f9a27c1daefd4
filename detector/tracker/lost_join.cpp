#include "detector/tracker/lost_join.hpp"

#include "detector/tracker/conclusion.hpp"
#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/registry.hpp"

namespace forkscope {

namespace {

using namespace record;

/// The lost thread `handle` stands for, or null where it may be a thread of this process.
ThreadRecord* lost_thread(pthread_t handle) {
  ThreadRecord* found = nullptr;
  registry.each([&](ThreadRecord& thread) {
    Life life = thread.life.load(std::memory_order_acquire);
    if (is_lost(thread)) {
      // One that was over before the fork can be joined: its result is there.
      if (life == Life::kAlive && pthread_equal(thread.pthread, handle) != 0) found = &thread;
      return true;
    }
    // A thread that has not run yet has not told its handle.
    bool living = life == Life::kStarting || pthread_equal(thread.pthread, handle) != 0;
    if (living) found = nullptr;
    return !living;
  });
  return found;
}

/// Without at-fork handlers (_Fork, clone) libc has not marked the lost threads as ended, and a
/// join without time limit waits for ever.
bool waits_for_ever(const ThreadRecord& lost, Call call) {
  return (call == Call::kJoin || call == Call::kThrdJoin) &&
         lost.generation + 1 == process.generation &&
         handlers_of(process.last_api) == Handlers::kSkipped;
}

}  // namespace

std::uint64_t meet_join(ThreadRecord& thread, pthread_t handle, Call call,
                        const void* return_address) {
  if (process.generation == 0 || handle == 0) return 0;
  ThreadRecord* lost = lost_thread(handle);
  if (lost == nullptr) return 0;
  Meeting meeting{};
  meeting.thread = &thread;
  meeting.object = reinterpret_cast<const void*>(handle);
  meeting.object_size = 0;
  meeting.return_address = return_address;
  meeting.holder = lost;
  meeting.holder_tid = lost->tid;
  meeting.kind = Kind::kLostThread;
  meeting.severity = Severity::kHazard;
  meeting.call = call;
  meeting.evidence = Evidence::kThreadGone;
  meeting.lock_type = LockType::kThread;
  meeting.living = process.living.load(std::memory_order_relaxed);
  lost->pthread = 0;  // told; a second join of it is an error without fork, too
  if (!waits_for_ever(*lost, call)) return write_finding(meeting);
  meeting.severity = Severity::kDeadlock;
  return conclude(meeting, false).finding;
}

void join_returned(std::uint64_t finding) {
  if (finding != 0) write_finding_end(finding, Outcome::kAcquired);
}

void handle_taken(pthread_t handle) {
  if (process.generation == 0) return;
  registry.each([&](ThreadRecord& thread) {
    if (is_lost(thread) && pthread_equal(thread.pthread, handle) != 0) thread.pthread = 0;
    return true;
  });
}

}  // namespace forkscope
