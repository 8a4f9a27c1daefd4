#include "detector/tracker/finding_writer.hpp"

#include <algorithm>
#include <cstring>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/log.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

/// Bytes of the holder's frozen stack worth keeping, from where the acquisition's slice ends to the
/// outermost frame.
MemorySlice frozen_stack(const ThreadRecord& holder, const Slot& acquired) {
  constexpr std::uint64_t kPage = 4096;
  // start_thread's and clone's frames lie above the first frame we saw; the thread's descriptor
  // follows, so reading on is harmless.
  constexpr std::uint64_t kAboveFirstFrame = 1024;
  std::uint64_t begin = acquired.sp() + acquired.slice_size();
  std::uint64_t end = begin + kMaxStackSnapshot;
  if (holder.stack_high > begin) end = std::min(end, holder.stack_high + kAboveFirstFrame);
  std::uint64_t known = begin;
  while (known < end && sys::readable(reinterpret_cast<const void*>(known), 8))
    known = std::min(end, (known / kPage + 1) * kPage);
  return {begin, (known - begin) & ~std::uint64_t{7}};
}

void note_stack(const void* from, std::uint64_t size) {
  note_modules(static_cast<const std::uint64_t*>(from), size / sizeof(std::uint64_t));
}

std::uint32_t count_lost(std::uint32_t limit) {
  std::uint32_t count = 0;
  registry.each([&](const ThreadRecord& thread) {
    count += thread.generation < process.generation;
    return count < limit;
  });
  return count;
}

void log_finding(const Finding& finding, LogText& text) {
  text.text("forkscope: ")
      .text(finding.severity == Severity::kDeadlock ? "DEADLOCK" : "hazard")
      .text(" in process ")
      .number(process.pid)
      .text(finding.kind == Kind::kLostThread
                ? ": waits for ever on condition variable "
                : (finding.severity == Severity::kDeadlock ? ": waits for ever for mutex "
                                                           : ": tried mutex "))
      .hex(finding.lock)
      .text(" at ")
      .place(finding.lock)
      .text(finding.kind == Kind::kLostThread ? "; thread " : ", held by thread ")
      .number(finding.holder_tid)
      .text(finding.kind == Kind::kSelfHeldLock ? " (the forking thread itself)"
                                                : ", which the fork did not copy")
      .text("\n  started in  ")
      .place(finding.holder_start)
      .text("\n  acquired at ")
      .place(finding.holder_caller)
      .text("\n");
  for (int i = 0; i < finding.waiter_frames; ++i)
    text.text("  child waits ").place(finding.waiter[i]).text("\n");
  text.write();
}

}  // namespace

namespace {

/// What a finding needs beside the stack: threads may have little more than PTHREAD_STACK_MIN.
struct Workspace {
  Finding finding;
  LogText text;
};

std::uint64_t write_finding_in(Workspace& work, const Meeting& meeting) {
  const ThreadRecord& holder = *meeting.holder;
  Finding& finding = work.finding;
  finding.fork = process.fork_after(meeting.kind == Kind::kSelfHeldLock ? process.generation - 1
                                                                        : holder.generation);
  finding.kind = meeting.kind;
  finding.severity = meeting.severity;
  finding.call = meeting.call;
  finding.evidence = meeting.evidence;
  finding.lock_type = meeting.lock_type;
  finding.lock_flags = meeting.lock_flags;
  finding.waiter_frames = walk_stack(finding.waiter, kMaxFrames, meeting.return_address);
  finding.lock = reinterpret_cast<std::uint64_t>(meeting.object);
  finding.lock_module = note_module(finding.lock);
  finding.wait_mutex = reinterpret_cast<std::uint64_t>(meeting.wait_mutex);
  std::memcpy(finding.lock_words, meeting.object, sizeof finding.lock_words);
  finding.holder_tid = meeting.holder_tid;
  finding.holder_start = reinterpret_cast<std::uint64_t>(holder.start);
  finding.holder_exited = holder.life.load(std::memory_order_relaxed) == Life::kExited;
  std::memcpy(finding.holder_name, holder.name, sizeof finding.holder_name);
  finding.holder_creator_frames = holder.creator_frames;
  std::copy_n(holder.creator, holder.creator_frames, finding.holder_creator);
  finding.living = meeting.living;
  note_module(finding.holder_start);
  note_modules(finding.waiter, finding.waiter_frames);
  note_modules(finding.holder_creator, finding.holder_creator_frames);

  MemorySlice slices[2] = {};
  const Slot* acquired = nullptr;
  if (meeting.kind == Kind::kLostThread) {
    finding.holder_caller = holder.wait_caller;
  } else {
    // Of the forking thread itself the oldest: the newest is the call it is in just now.
    bool oldest = meeting.kind == Kind::kSelfHeldLock;
    holder.each([&](const void* lock, std::uint64_t caller, const Slot* slot) {
      if (lock != meeting.object) return true;
      finding.holder_caller = caller;
      acquired = slot;
      return oldest;
    });
    if (acquired != nullptr) {
      finding.acquired = acquired->registers;
      finding.acquired.sp = acquired->sp();
      finding.holder_has_registers = 1;
      note_module(acquired->registers.pc);
      // The stack of the forking thread itself goes on in the child: only that of others is frozen.
      slices[0] = {acquired->sp(), acquired->slice_size()};
      note_stack(acquired->slice, acquired->slice_size());
      bool frozen = holder.generation >= process.stacks_used_by.load(std::memory_order_relaxed);
      if (meeting.kind == Kind::kOrphanedLock && finding.holder_exited == 0 && frozen) {
        slices[1] = frozen_stack(holder, *acquired);
        // Many children may deadlock at once, faster than the command adds room: a short stack of
        // each is better than none of some.
        constexpr std::uint64_t kShare = 16;
        slices[1].size =
            std::min(slices[1].size, process.arena.room() / kShare) & ~std::uint64_t{7};
        note_stack(reinterpret_cast<const void*>(slices[1].address), slices[1].size);
      }
    }
  }
  note_module(finding.holder_caller);

  finding.threads = count_lost(kMaxForkThreads);
  finding.slices = acquired != nullptr ? 2 : 0;
  auto payload = [&] {
    return sizeof finding + finding.threads * sizeof(ThreadInfo) +
           finding.slices * sizeof(MemorySlice) + slices[0].size + slices[1].size;
  };
  auto space = process.reserve(payload(), Arena::For::kFinding);
  if (!space && slices[1].size > 0) {  // rather without the stack than not at all
    slices[1].size = 0;
    space = process.reserve(payload(), Arena::For::kFinding);
  }
  static constinit std::uint64_t without_session = 0;
  finding.id = space ? space.offset : ++without_session;
  if (space) {
    Filler fill(space.payload());
    fill.put(finding);
    std::uint32_t left = finding.threads;
    registry.each([&](const ThreadRecord& thread) {
      if (thread.generation >= process.generation) return true;
      if (left-- == 0) return false;
      fill.put(thread_info(thread));
      return true;
    });
    if (acquired != nullptr) {
      fill.put(slices[0]);
      fill.bytes(acquired->slice, slices[0].size);
      fill.put(slices[1]);
      fill.bytes(reinterpret_cast<const void*>(slices[1].address), slices[1].size);
    }
    process.publish(space, Type::kFinding);
    process.arena.header()->wake.fetch_add(1, std::memory_order_release);
  }
  if (process.options.log_stderr) log_finding(finding, work.text);
  return finding.id;
}

}  // namespace

std::uint64_t write_finding(const Meeting& meeting) {
  auto* work = static_cast<Workspace*>(sys::map_private(sizeof(Workspace)));
  if (work == nullptr) return 0;
  std::uint64_t id = write_finding_in(*work, meeting);
  sys::unmap(work, sizeof *work);
  return id;
}

void write_finding_end(std::uint64_t finding, Outcome outcome) {
  process.append(Type::kFindingEnd, FindingEnd{finding, outcome, {}});
  if (process.arena.attached())
    process.arena.header()->wake.fetch_add(1, std::memory_order_release);
}

}  // namespace forkscope
