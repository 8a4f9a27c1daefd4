#include "detector/tracker/finding_writer.hpp"

#include <algorithm>
#include <cstring>

#include "detector/tracker/births.hpp"
#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/handlers.hpp"
#include "detector/tracker/lock_names.hpp"
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

const char* kind_text(Kind kind) {
  switch (kind) {
    case Kind::kOrphanedLock:
      return "a thread that fork did not copy held the lock";
    case Kind::kLostThread:
      return "threads that fork did not copy are waited for";
    case Kind::kSelfHeldLock:
      return "the forking thread itself held the lock";
    case Kind::kStaleOwner:
      return "the lock's owner is the forking thread under its old id";
    case Kind::kLibcLock:
      return "another thread was inside libc or the loader";
    case Kind::kForkBypass:
      return "the at-fork handlers were passed by";
    case Kind::kSharedDescriptor:
      return "a file lock of the parent";
    case Kind::kMissingMemory:
      return "memory that fork did not copy";
    case Kind::kUnsafeCall:
      return "a call that is not safe here";
    case Kind::kAtforkHandler:
      return "an at-fork handler waits for a lock";
  }
  return "";
}

const char* severity_text(Severity severity) {
  switch (severity) {
    case Severity::kDeadlock:
      return "DEADLOCK";
    case Severity::kLatent:
      return "latent";
    case Severity::kHazard:
      return "hazard";
    case Severity::kNote:
      return "note";
  }
  return "";
}

const char* call_text(Call call) {
  switch (call) {
#define FORKSCOPE_CALL(id, name, waits) \
  case Call::id:                        \
    return name;
#include "detector/record/calls.def"
#undef FORKSCOPE_CALL
  }
  return "";
}

/// What somebody without the command gets to read. Addresses as addr2line takes them.
void log_finding(const Finding& finding, std::int32_t pid, LogText& text) {
  text.text("forkscope: ").text(severity_text(finding.severity));
  text.text(" in process ").number(pid).text(": ").text(call_text(finding.call));
  if (finding.lock != 0) text.text(" at ").hex(finding.lock).text(" ").place(finding.lock);
  text.text(": ").text(kind_text(finding.kind));
  if (finding.holder_tid != 0) text.text("; thread ").number(finding.holder_tid);
  text.text("\n");
  if (finding.holder_start != 0) text.text("  started in  ").place(finding.holder_start).text("\n");
  if (finding.holder_caller != 0)
    text.text("  acquired at ").place(finding.holder_caller).text("\n");
  for (int i = 0; i < finding.waiter_frames; ++i)
    text.text("  called from ").place(finding.waiter[i]).text("\n");
  text.write();
}

/// What a finding needs beside the stack: threads may have little more than PTHREAD_STACK_MIN.
struct Workspace {
  Finding finding;
  LogText text;
};

void describe_holder(Finding& finding, const ThreadRecord& holder) {
  finding.holder_start = reinterpret_cast<std::uint64_t>(holder.start);
  finding.holder_exited = holder.life.load(std::memory_order_relaxed) == Life::kExited;
  std::memcpy(finding.holder_name, holder.name, sizeof finding.holder_name);
  finding.holder_creator_frames = holder.creator_frames;
  std::copy_n(holder.creator, holder.creator_frames, finding.holder_creator);
}

/// The fork that lost the holder; the last one where nobody in particular was lost.
std::uint64_t fork_of(const Meeting& meeting) {
  if (meeting.fork != 0) return meeting.fork;
  bool lost = meeting.holder != nullptr && meeting.holder->generation < process.generation;
  return process.fork_after(lost ? meeting.holder->generation.load() : process.generation - 1);
}

std::uint64_t write_finding_in(Workspace& work, const Meeting& meeting) {
  const ThreadRecord* holder = meeting.holder;
  Finding& finding = work.finding;
  finding.fork = fork_of(meeting);
  finding.kind = meeting.kind;
  finding.severity = meeting.severity;
  finding.call = meeting.call;
  finding.evidence = meeting.evidence;
  finding.lock_type = meeting.lock_type;
  finding.lock_flags = meeting.lock_flags;
  finding.waiter_frames = meeting.waiter_frames;
  if (meeting.waiter != nullptr)
    std::copy_n(meeting.waiter, meeting.waiter_frames, finding.waiter);
  else
    finding.waiter_frames = walk_stack(finding.waiter, kMaxFrames, meeting.return_address);
  // Readers look up what precedes a return address; the instruction of a fault is none.
  if (meeting.kind == Kind::kMissingMemory) ++finding.waiter[0];
  finding.lock = reinterpret_cast<std::uint64_t>(meeting.object);
  if (meeting.object_size > 0) {
    finding.lock_module = note_lock(finding.lock);
    std::memcpy(finding.lock_words, meeting.object,
                std::min<std::size_t>(meeting.object_size, sizeof finding.lock_words));
  } else {
    std::copy_n(meeting.words, std::size(meeting.words), finding.lock_words);
  }
  if (meeting.by == 0) lock_names::note(finding.lock);
  finding.wait_mutex = reinterpret_cast<std::uint64_t>(meeting.wait_mutex);
  finding.holder_tid = meeting.holder_tid;
  finding.holder_caller = reinterpret_cast<std::uint64_t>(meeting.holder_caller);
  if (holder != nullptr) describe_holder(finding, *holder);
  finding.living = meeting.living;
  finding.range_begin = meeting.range_begin;
  finding.range_end = meeting.range_end;
  if (meeting.evidence == Evidence::kForkedChild && finding.range_begin != 0)
    note_module(finding.range_begin);
  finding.repeat = meeting.repeat;
  finding.probed = meeting.probed;
  if (meeting.thread != nullptr && meeting.thread == detail::self) {
    if (const HandlerCall* handler = live_handler(*detail::self)) {
      finding.in_handler = 1;
      finding.handler = handler->atfork;
      finding.handler_phase = handler->phase;
    }
  }
  if (finding.holder_start != 0) note_module(finding.holder_start);
  note_modules(finding.waiter, finding.waiter_frames);
  note_modules(finding.holder_creator, finding.holder_creator_frames);

  MemorySlice slices[2] = {};
  const Slot* acquired = nullptr;
  const void* slice = nullptr;
  if (meeting.use != nullptr) {
    const history::Use& use = *meeting.use;
    finding.holder_caller = use.caller;
    finding.holder_uses = history::uses(use, meeting.object);
    finding.held_share = history::held_share(use, meeting.object, history::ticks());
    if (const history::Site* site = history::site_of(use)) {
      finding.acquired = site->registers;
      finding.holder_has_registers = 1;
      note_module(site->registers.pc);
      slices[0] = {site->registers.sp, site->size};
      slice = site->stack;
      note_stack(slice, slices[0].size);
    }
  } else if (holder != nullptr && meeting.kind == Kind::kLostThread) {
    if (holder->wait_object.load(std::memory_order_relaxed) != nullptr)
      finding.holder_caller = holder->wait_caller;
  } else if (holder != nullptr && meeting.holder_caller == nullptr) {
    // Of the forking thread itself the oldest: the newest is the call it is in just now.
    bool oldest = meeting.kind == Kind::kSelfHeldLock || meeting.kind == Kind::kStaleOwner ||
                  holder == meeting.thread;
    holder->each([&](const Recorded& one) {
      if (one.lock != meeting.object) return true;
      finding.holder_caller = one.caller;
      acquired = one.slot;
      return oldest;
    });
    if (acquired != nullptr) {
      finding.acquired = acquired->registers;
      finding.acquired.sp = acquired->sp();
      finding.holder_has_registers = 1;
      note_module(acquired->registers.pc);
      // The stack of the forking thread itself goes on in the child: only that of others is frozen.
      slices[0] = {acquired->sp(), acquired->slice_size()};
      slice = acquired->slice;
      note_stack(slice, slices[0].size);
      bool frozen = holder->generation >= process.stacks_used_by.load(std::memory_order_relaxed);
      // A thread in a ring of locks stays where it is, as one that was not copied.
      bool stays = meeting.kind == Kind::kOrphanedLock ||
                   (meeting.evidence == Evidence::kLockCycle && holder != meeting.thread);
      if (stays && finding.holder_exited == 0 && frozen) {
        slices[1] = frozen_stack(*holder, *acquired);
        // Many children may deadlock at once, faster than the command adds room: a short stack of
        // each is better than none of some.
        constexpr std::uint64_t kShare = 16;
        slices[1].size =
            std::min(slices[1].size, process.arena.room() / kShare) & ~std::uint64_t{7};
        note_stack(reinterpret_cast<const void*>(slices[1].address), slices[1].size);
      }
    }
  }
  if (finding.holder_caller != 0) note_module(finding.holder_caller);
  finding.text_length = meeting.text != nullptr ? std::uint32_t(std::strlen(meeting.text)) : 0;

  const bool told = meeting.type == Type::kFinding;
  if (!told) {  // see record::Finding
    const births::Birth birth = births::of(meeting.object);
    finding.range_begin = birth.thread;
    finding.range_end = birth.number;
  }
  finding.threads = told ? count_lost(kMaxForkThreads) : 0;
  finding.slices = slice != nullptr ? 2 : 0;
  auto payload = [&] {
    return sizeof finding + finding.threads * sizeof(ThreadInfo) +
           finding.slices * sizeof(MemorySlice) + slices[0].size + slices[1].size +
           finding.text_length;
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
    if (slice != nullptr) {
      fill.put(slices[0]);
      fill.bytes(slice, slices[0].size);
      fill.put(slices[1]);
      fill.bytes(reinterpret_cast<const void*>(slices[1].address), slices[1].size);
    }
    if (meeting.text != nullptr) fill.bytes(meeting.text, finding.text_length);
    process.publish(space, meeting.type, meeting.by);
    if (told) process.arena.header()->wake.fetch_add(1, std::memory_order_release);
  }
  // Without the command's summary such notes would be a line for each call of each child.
  if (told && process.options.log_stderr && meeting.evidence != Evidence::kForkedChild)
    log_finding(finding, meeting.by != 0 ? meeting.by : process.pid, work.text);
  return finding.id;
}

}  // namespace

std::uint64_t write_finding(const Meeting& meeting) {
  // What else the child of a probe does amiss is no matter of the program.
  if (process.probe && meeting.probed == InjectProbed::kNothing) return 0;
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
