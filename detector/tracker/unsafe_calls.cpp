#include "detector/tracker/unsafe_calls.hpp"

#include <cstring>

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_sites.hpp"

namespace forkscope::unsafe_calls {

namespace {

using namespace record;

/// Locks of libc whose holders were looked for in this process: told, or nobody was inside.
constexpr std::size_t kLockWords = (kLibcLockCount + 63) / 64;
constinit std::atomic<std::uint64_t> asked[kLockWords] = {};

bool first_question(UnsafeCall call) {
  std::size_t lock = libc_lock_of(call);
  std::uint64_t bit = std::uint64_t{1} << (lock % 64);
  auto& word = asked[lock / 64];
  return (word.load(std::memory_order_relaxed) & bit) == 0 &&
         (word.fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

/// Call sites this process has come by: a hash set of hashes. Where it is full, nothing is noted
/// any more.
class Seen {
 public:
  bool first(UnsafeCall call, const void* caller) {
    std::uint64_t hash =
        (reinterpret_cast<std::uint64_t>(caller) ^ std::uint64_t(call) << 56) * 0x9e3779b97f4a7c15u;
    hash |= 1;
    for (std::size_t probe = 0; probe < kProbes; ++probe) {
      auto& entry = entries_[((hash >> 40) + probe) % kEntries];
      std::uint64_t known = entry.load(std::memory_order_relaxed);
      if (known == hash) return false;
      if (known == 0) {
        used_.store(true, std::memory_order_relaxed);
        if (entry.compare_exchange_strong(known, hash, std::memory_order_relaxed)) return true;
        if (known == hash) return false;
      }
    }
    return false;
  }
  /// A child that has none leaves the pages its parent's.
  void clear() {
    if (!used_.load(std::memory_order_relaxed)) return;
    std::memset(static_cast<void*>(entries_), 0, sizeof entries_);
    used_.store(false, std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kEntries = 512, kProbes = 16;
  std::atomic<std::uint64_t> entries_[kEntries];
  std::atomic<bool> used_;
};
constinit Seen seen{};
/// malloc and its like are one call: the first of the process.
constinit std::atomic<bool> allocated{false};

/// While its stack is as the fork left it, the frame of the call must still be there.
bool is_there(const ThreadRecord& thread, const InsideCall& entry) {
  if (thread.generation < process.stacks_used_by.load(std::memory_order_relaxed)) return true;
  auto* return_address = static_cast<const void* const*>(entry.cfa) - 1;
  return sys::readable(return_address, sizeof *return_address) && *return_address == entry.caller;
}

}  // namespace

Vanished find_vanished(UnsafeCall call) {
  Vanished found;
  registry.each([&](const ThreadRecord& thread) {
    if (thread.generation >= process.generation ||
        thread.life.load(std::memory_order_relaxed) != Life::kAlive)
      return true;
    for (const InsideCall& entry : thread.inside) {
      UnsafeCall other = entry.call.load(std::memory_order_relaxed);
      if (other == UnsafeCall::none || !meet_in_libc(call, other) || !is_there(thread, entry))
        continue;
      if (found.thread != nullptr) {
        ++found.others;
      } else {
        found = {&thread, entry.caller, other};
      }
      break;
    }
    return true;
  });
  return found;
}

namespace {

Meeting meeting_of(const ThreadRecord& thread, UnsafeCall call, const void* caller) {
  Meeting meeting{};
  meeting.thread = &thread;
  meeting.object_size = 0;
  meeting.words[0] = std::uint32_t(call);
  meeting.words[1] = std::uint32_t(UnsafeCall::none);
  meeting.return_address = caller;
  meeting.call = Call::kLibcCall;
  meeting.living = process.living.load(std::memory_order_relaxed);
  return meeting;
}

std::uint64_t write_hazard(const ThreadRecord& thread, UnsafeCall call, const void* caller,
                           const Vanished& vanished) {
  if (process.arena.crowded()) return 0;
  Meeting meeting = meeting_of(thread, call, caller);
  meeting.words[1] = std::uint32_t(vanished.call);
  meeting.words[2] = vanished.others;
  meeting.holder = vanished.thread;
  meeting.holder_tid = vanished.thread->tid;
  meeting.holder_caller = vanished.caller;
  meeting.kind = Kind::kLibcLock;
  meeting.severity = Severity::kHazard;
  meeting.evidence = Evidence::kInsideCall;
  return write_finding(meeting);
}

void write_note(const ThreadRecord& thread, UnsafeCall call, const void* caller,
                const void* function) {
  auto [site, first] = unsafe_sites::claim(call, caller);
  if (!first || process.arena.crowded()) return;
  Meeting meeting = meeting_of(thread, call, caller);
  meeting.kind = Kind::kUnsafeCall;
  meeting.severity = Severity::kNote;
  meeting.evidence = Evidence::kForkedChild;
  meeting.range_begin = reinterpret_cast<std::uint64_t>(function);
  site->finding.store(write_finding(meeting), std::memory_order_release);
}

}  // namespace

void in_child(const ThreadRecord& self) {
  registry.each([&](const ThreadRecord& thread) {
    process.lost_threads =
        process.lost_threads || (&thread != &self && thread.generation + 1 == process.generation &&
                         thread.life.load(std::memory_order_relaxed) == Life::kAlive);
    return !process.lost_threads;
  });
  if (!process.lost_threads) return;
  for (auto& word : asked)
    if (word.load(std::memory_order_relaxed) != 0) word.store(0, std::memory_order_relaxed);
  if (allocated.load(std::memory_order_relaxed)) allocated.store(false, std::memory_order_relaxed);
  seen.clear();
}

std::uint64_t meet(ThreadRecord& thread, UnsafeCall call, const void* caller,
                   const void* function) {
  if (!process.lost_threads || process.probe) return 0;
  const bool memory = facts_of(call).family == LibcFamily::kMemory;
  if (memory && allocated.load(std::memory_order_relaxed)) return 0;
  const LibcUse use = facts_of(call).use;
  const bool asks = (is_tracked(call) || use == LibcUse::takes) && first_question(call);
  Vanished vanished = asks ? find_vanished(call) : Vanished{};
  if (vanished.thread == nullptr) {
    if (!process.options.unsafe_calls || !process.arena.attached()) return 0;
    if (!memory && !seen.first(call, caller)) return 0;
    // What a function of libc does inside is that function's.
    if (unsafe_sites::is_in_libc(caller)) return 0;
  }
  // Others may run in this memory: a vfork child, a sanitizer's clone.
  if (sys::getpid() != process.pid) return 0;
  if (vanished.thread != nullptr) return write_hazard(thread, call, caller, vanished);
  if (!memory || !allocated.exchange(true, std::memory_order_relaxed))
    write_note(thread, call, caller, function);
  return 0;
}

void came_back(std::uint64_t finding) { write_finding_end(finding, Outcome::kAcquired); }

}  // namespace forkscope::unsafe_calls
