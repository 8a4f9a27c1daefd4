#include "detector/tracker/handler_wait.hpp"

#include <algorithm>
#include <iterator>

#include "detector/tracker/conclusion.hpp"
#include "detector/tracker/handler_trace.hpp"
#include "detector/tracker/handlers.hpp"
#include "detector/tracker/kernel_wait.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

constexpr std::uint32_t kMostThreads = 16;

const ThreadRecord* living_thread(std::int32_t tid) {
  const ThreadRecord* found = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (thread.tid == tid && thread.generation >= process.generation &&
        thread.life.load(std::memory_order_acquire) == Life::kAlive)
      found = &thread;
    return found == nullptr;
  });
  return found;
}

/// The futex word that a thread sleeps at without a limit, as the kernel says; 0: none.
std::uint64_t sleeps_at(std::int32_t tid) {
  KernelWait wait;
  const bool sleeps = read_kernel_wait("/proc/self/task/", tid, wait) && wait.is_futex_for_ever();
  return sleeps ? wait.arguments[0] : 0;
}

struct Ring {
  std::uint32_t count = 0;
  const ThreadRecord* threads[kMostThreads] = {};
  bool closed = false;

  bool operator==(const Ring&) const = default;
};

/// The mutex whose first word this is, if that thread's table says that it is after it.
const void* mutex_wanted(const ThreadRecord& thread, std::uint64_t word) {
  const void* mutex = nullptr;
  thread.each([&](const Recorded& one) {
    if (one.hold == Hold::kOwnerWord && reinterpret_cast<std::uint64_t>(one.lock) == word)
      mutex = one.lock;
    return mutex == nullptr;
  });
  return mutex;
}

Ring ring_from(const ThreadRecord& self, const void* mutex) {
  Ring ring;
  while (ring.count < kMostThreads) {
    if (!sys::readable(mutex, sizeof(pthread_mutex_t))) break;
    const std::int32_t owner = MutexWords(mutex).owner();
    if (owner == self.tid) {
      ring.closed = true;
      break;
    }
    const ThreadRecord* thread = owner != 0 ? living_thread(owner) : nullptr;
    if (thread == nullptr) break;
    ring.threads[ring.count++] = thread;
    const std::uint64_t word = sleeps_at(owner);
    mutex = word != 0 ? mutex_wanted(*thread, word) : nullptr;
    if (mutex == nullptr) break;
  }
  return ring;
}

}  // namespace

bool handler_waits(ThreadRecord& thread, const void* mutex) {
  MutexWords words(mutex);
  if (live_handler(thread) == nullptr || !words.plausible()) return false;
  // The kernel may know no wait for a PI mutex with a limit on our clock; an owner in another
  // process is none of ours.
  if ((words.flags() & (kLockPi | kLockPp | kLockPshared)) != 0) return false;
  if (const std::int32_t owner = words.owner(); owner != 0 && owner != thread.tid)
    handler_trace::note_contended(thread, owner);
  return true;
}

Met meet_in_handler(ThreadRecord& thread, const void* mutex, Call call, const void* return_address,
                    bool last_look) {
  MutexWords words(mutex);
  const Ring ring = ring_from(thread, mutex);
  // What was seen first still holds if all of it is seen once more.
  const bool closed = ring.closed && ring == ring_from(thread, mutex);
  const std::int32_t owner = words.owner();
  if (owner == 0 || (!closed && !last_look)) return {};
  Meeting meeting;
  meeting.thread = &thread;
  meeting.object = mutex;
  meeting.return_address = return_address;
  meeting.kind = Kind::kAtforkHandler;
  meeting.severity = closed ? Severity::kDeadlock : Severity::kHazard;
  meeting.evidence = closed ? Evidence::kLockCycle : Evidence::kOwnerWord;
  meeting.call = call;
  meeting.lock_type = words.type();
  meeting.lock_flags = words.flags();
  meeting.holder_tid = owner;
  meeting.holder = owner == thread.tid ? &thread : ring.count > 0 ? ring.threads[0] : nullptr;
  // One that runs on changes its table: of that only a word is believed.
  if (meeting.holder != nullptr && !closed)
    meeting.holder_caller = table::where_taken(*meeting.holder, mutex);
  meeting.living = process.living.load(std::memory_order_relaxed);
  meeting.fork = thread.fork.id;
  if (!closed && meeting.holder_caller == nullptr) meeting.holder = nullptr;
  return {conclude(meeting, false).finding, false, false};
}

}  // namespace forkscope
