#include "detector/tracker/loader_state.hpp"

#include <link.h>

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::loader_state {

namespace {

using namespace record;

/// The last call of a thread, by the thread's index; another thread of the same index modulo the
/// size takes the place over. A fork between the two stores leaves a caller that is not `thread`'s,
/// of a thread that was not loading.
struct LastCall {
  std::atomic<const ThreadRecord*> thread;
  std::atomic<const void*> caller;
};
constexpr std::uint32_t kCalls = 128;
constinit LastCall last_calls[kCalls] = {};

// Of the fork that broke it; written while the child has one thread.
constinit const r_debug* broken = nullptr;
constinit std::uint32_t broken_generation = 0;
constinit std::uint32_t told_generation = 0;
constinit std::uint64_t last_finding = 0;

/// Namespaces of dlmopen follow each other from version 2 of the structure on (glibc 2.35).
const r_debug* next_namespace(const r_debug* one) {
  struct Extended {
    r_debug base;
    Extended* next;
  };
  if (one->r_version < 2) return nullptr;
  auto* next = reinterpret_cast<const Extended*>(one)->next;
  return next != nullptr ? &next->base : nullptr;
}

struct Loading {
  const ThreadRecord* thread = nullptr;
  const void* caller = nullptr;
};

/// Who was loading, if only one thread comes into question.
Loading loading_thread() {
  Loading found;
  std::uint32_t candidates = 0;
  for (LastCall& call : last_calls) {
    const ThreadRecord* thread = call.thread.load(std::memory_order_relaxed);
    if (thread == nullptr || thread->generation + 1 != broken_generation) continue;
    if (thread->life.load(std::memory_order_relaxed) != Life::kAlive) continue;
    found = {thread, call.caller.load(std::memory_order_relaxed)};
    ++candidates;
  }
  return candidates == 1 ? found : Loading{};
}

}  // namespace

void note_call(const ThreadRecord& thread, const void* caller) {
  LastCall& call = last_calls[thread.index % kCalls];
  call.thread.store(nullptr, std::memory_order_relaxed);
  call.caller.store(caller, std::memory_order_release);
  call.thread.store(&thread, std::memory_order_release);
}

void in_child() {
  if (broken != nullptr && broken->r_state != r_debug::RT_CONSISTENT) return;  // inherited so
  if (broken != nullptr) broken = nullptr;
  for (const r_debug* one = &_r_debug; one != nullptr; one = next_namespace(one)) {
    if (one->r_state == r_debug::RT_CONSISTENT) continue;
    broken = one;
    broken_generation = process.generation;
    return;
  }
}

bool meet(ThreadRecord& thread, Call call, const void* caller) {
  if (last_finding != 0) {  // the call that was warned of has come back
    write_finding_end(last_finding, Outcome::kAcquired);
    last_finding = 0;
  }
  if (broken == nullptr || told_generation == process.generation) return false;
  // A dlopen that maps something new may have made it consistent again.
  if (broken->r_state == r_debug::RT_CONSISTENT) return false;
  told_generation = process.generation;
  // What is being removed is not in dlopen.
  Loading loading = broken->r_state == r_debug::RT_ADD ? loading_thread() : Loading{};
  Meeting meeting{};
  meeting.thread = &thread;
  meeting.object = broken;
  meeting.object_size = sizeof(r_debug);
  meeting.return_address = caller;
  meeting.holder = loading.thread;
  meeting.holder_tid = loading.thread != nullptr ? loading.thread->tid.load() : 0;
  meeting.holder_caller = loading.caller;
  meeting.kind = Kind::kLibcLock;
  meeting.severity = Severity::kHazard;
  meeting.call = call;
  meeting.evidence = Evidence::kLoaderState;
  meeting.lock_type = LockType::kLoader;
  meeting.living = process.living.load(std::memory_order_relaxed);
  meeting.fork = process.fork_after(broken_generation - 1);
  last_finding = write_finding(meeting);
  return true;
}

}  // namespace forkscope::loader_state
