// after_vfork(): who is calling, and what is said of a vfork child that does more than exec or
// _exit.
//
// All of this runs in the parent's memory. What it writes there harms nobody: the session's arena
// (shared with everybody anyway), the table of objects noted in it (they are noted), and one id of
// its own; what a finding needs besides is mapped and unmapped.
#include "preload/vfork_child.hpp"

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/observed.hpp"

namespace forkscope {

namespace {

/// The last vfork of this thread of whose child a call was noted.
constinit thread_local std::uint64_t noted = 0;

void note_call(const ThreadRecord& thread, std::int32_t child, record::Call call,
               const void* return_address) {
  if (noted == thread.vfork) return;
  noted = thread.vfork;
  if (process.arena.crowded()) return;
  Meeting meeting{};
  meeting.thread = &thread;
  meeting.object_size = 0;
  meeting.return_address = return_address;
  meeting.kind = record::Kind::kUnsafeCall;
  meeting.severity = record::Severity::kNote;
  meeting.call = call;
  meeting.evidence = record::Evidence::kVforkChild;
  meeting.fork = thread.vfork;
  meeting.by = child;
  write_finding(meeting);
}

}  // namespace

void open_vfork(ThreadRecord& thread, std::uint64_t id) {
  thread.vfork = id;
  if (!thread.vfork_open) process.shares_memory.fetch_add(1, std::memory_order_relaxed);
  thread.vfork_open = true;
  take_long_path();  // the lock path, too, comes by
}

void close_vfork(ThreadRecord& thread) {
  if (!thread.vfork_open) return;
  thread.vfork_open = false;
  restore_lock_path(thread);
  process.shares_memory.fetch_sub(1, std::memory_order_relaxed);
}

bool in_borrowed_memory() {
  return process.pid != 0 && process.shares_memory.load(std::memory_order_relaxed) != 0 &&
         process.pid != sys::getpid();
}

ThreadRecord* after_vfork(ThreadRecord& thread, record::Call call, const void* return_address) {
  std::int32_t pid = sys::getpid();
  if (pid == process.pid) {
    close_vfork(thread);
    return &thread;
  }
  note_call(thread, pid, call, return_address);
  return nullptr;
}

}  // namespace forkscope
