#include "detector/tracker/learn.hpp"

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_sites.hpp"

namespace forkscope::learn {

namespace {

using namespace record;

/// A thread's first call of a function of libc, by hash of both.
struct Called {
  std::atomic<std::uint64_t> key;  ///< index and life number of the thread, and the call; 0: free
  std::atomic<const void*> caller;
};
constexpr std::size_t kCalled = 1024, kProbes = 32;
constinit Called calls[kCalled] = {};

constexpr int kCallBits = 8, kIndexBits = 24;

std::uint64_t key_of(const ThreadRecord& thread, UnsafeCall call) {
  return std::uint64_t(thread.life_number.load(std::memory_order_relaxed))
             << (kCallBits + kIndexBits) |
         std::uint64_t(thread.index) << kCallBits | std::uint64_t(call);
}

/// The thread, if it is one that the last fork left behind; else null.
const ThreadRecord* lost_thread(std::uint64_t key) {
  const ThreadRecord* thread =
      registry.at(std::uint32_t(key >> kCallBits) & ((1u << kIndexBits) - 1));
  const bool lost = thread != nullptr && is_lost(*thread) &&
                    thread->life.load(std::memory_order_relaxed) == Life::kAlive &&
                    key_of(*thread, UnsafeCall(key & ((1u << kCallBits) - 1))) == key;
  return lost ? thread : nullptr;
}

/// Writes it if no other fork of the session did, and counts it.
void write(std::uint64_t key, Meeting meeting) {
  const auto [site, first] = unsafe_sites::claim(key);
  if (!first) return;
  meeting.type = Type::kLearned;
  meeting.severity = Severity::kLatent;
  meeting.evidence =
      meeting.kind == Kind::kLibcLock ? Evidence::kInsideCall : Evidence::kTookBefore;
  meeting.living = process.living.load(std::memory_order_relaxed);
  site->finding.store(write_finding(meeting), std::memory_order_release);
}

/// Of a lock without a module only who took it stays the same from run to run.
std::uint64_t key_of_lock(const void* lock, LockType type, std::uint64_t caller) {
  const std::uint64_t key = unsafe_sites::key_of(0x100u + std::uint64_t(type), lock);
  return note_module(reinterpret_cast<std::uint64_t>(lock)) != 0
             ? key
             : unsafe_sites::key_of(key, reinterpret_cast<const void*>(caller));
}

/// Neither gone, nor in memory that is not copied, nor set free by libc in the child.
bool can_be_orphaned(const void* lock, LockType type) {
  const bool made_good = (type == LockType::kOnce || type == LockType::kFile) &&
                         handlers_of(process.last_api) == Handlers::kRun;
  return !made_good && sys::readable(lock, lock_words::size(type)) && !sys::is_shared(lock);
}

Meeting meeting_at(const void* lock, LockType type) {
  Meeting meeting;
  meeting.object = lock;
  meeting.object_size = std::uint32_t(lock_words::size(type));
  meeting.lock_type = type;
  return meeting;
}

void write_used(const void* lock, LockType type, const history::LostUses& uses) {
  if (!can_be_orphaned(lock, type)) return;
  Meeting meeting = meeting_at(lock, type);
  meeting.use = uses.longest;
  meeting.holder = &history::thread_of(*uses.longest);
  meeting.holder_tid = meeting.holder->tid;
  write(key_of_lock(lock, type, uses.longest->caller), meeting);
}

/// What another thread has for the first time is not in the history, which begins at the release.
void write_held() {
  const ForkHeld held = last_fork_held();
  for (std::uint32_t i = 0; i < held.count; ++i) {
    const HeldLock& one = held.locks[i];
    const auto* lock = reinterpret_cast<const void*>(one.address);
    if (one.self != 0 || !can_be_orphaned(lock, one.type)) continue;
    Meeting meeting = meeting_at(lock, one.type);
    meeting.lock_flags = one.flags;
    meeting.holder = lost_owner(one.owner, lock);
    meeting.holder_tid = one.owner;
    write(key_of_lock(lock, one.type, one.caller), meeting);
  }
}

void write_calls() {
  for (const Called& one : calls) {
    const std::uint64_t key = one.key.load(std::memory_order_relaxed);
    const ThreadRecord* thread = key != 0 ? lost_thread(key) : nullptr;
    const void* caller = one.caller.load(std::memory_order_relaxed);
    if (thread == nullptr || caller == nullptr) continue;
    const std::uint64_t call = key & ((1u << kCallBits) - 1);
    Meeting meeting;
    meeting.object_size = 0;
    meeting.words[0] = meeting.words[1] = std::uint32_t(call);
    meeting.holder = thread;
    meeting.holder_tid = thread->tid;
    meeting.holder_caller = caller;
    meeting.kind = Kind::kLibcLock;
    meeting.call = Call::kLibcCall;
    write(unsafe_sites::key_of(0x200u + call, caller), meeting);
  }
}

}  // namespace

void called(const ThreadRecord& thread, UnsafeCall call, const void* caller) {
  const std::uint64_t key = key_of(thread, call);
  const std::uint64_t hash = key * 0x9e3779b97f4a7c15u >> 40;
  for (std::size_t probe = 0; probe < kProbes; ++probe) {
    Called& entry = calls[(hash + probe) % kCalled];
    std::uint64_t known = entry.key.load(std::memory_order_relaxed);
    if (known == key) return;
    if (known != 0 || !entry.key.compare_exchange_strong(known, key)) continue;
    entry.caller.store(caller, std::memory_order_release);
    return;
  }
}

void in_child() {
  if (!process.arena.attached()) return;
  history::each_used_by_lost(write_used);
  write_held();
  write_calls();
}

}  // namespace forkscope::learn
