#include "detector/tracker/inject_inside.hpp"

#include <algorithm>

#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_thread.hpp"
#include "detector/tracker/inject_word.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_sites.hpp"

namespace forkscope::inject::inside_libc {

namespace {

using record::UnsafeCall;

/// For so long only a thread will do that libc called back from: a hundredth of what a scheduler
/// may need to run it.
constexpr std::uint64_t kSurelyFirst = 100'000'000;

struct Wanted {
  ForkWord word;
  std::atomic<ThreadRecord*> forker;
  std::atomic<std::uint32_t> index;
  std::atomic<std::uint64_t> until;
  std::atomic<std::int32_t> tid;
  std::atomic<UnsafeCall> call;
  std::atomic<std::uint64_t> caller;
  std::atomic<std::uint32_t> rounds;  ///< of calls, by threads that call again
};

/// The thread that woke the forker by its first round may be stopped for that, outside the lock.
constexpr std::uint32_t kRounds = 3;
constinit Wanted wanted{};

Phase phase_of(std::uint32_t word) { return ForkWord::phase_of(word); }

bool is_wanted(UnsafeCall call, std::uint32_t index) {
  return call != UnsafeCall::none &&
         inject_matches(process.options.inject[index].function, record::facts_of(call).name);
}

/// What the thread is inside of, of what is wanted; the innermost.
const InsideCall* wanted_in(const ThreadRecord& thread, std::uint32_t index) {
  for (std::uint32_t i = kInsideDepth; i-- > 0;)
    if (is_wanted(thread.inside[i].call.load(std::memory_order_acquire), index))
      return &thread.inside[i];
  return nullptr;
}

/// A thread of `generation` other than `self` that is inside; null where there is none.
const ThreadRecord* find_inside(const ThreadRecord& self, std::uint32_t index,
                                std::uint32_t generation, const InsideCall*& call) {
  const ThreadRecord* found = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (&thread == &self || thread.generation.load(std::memory_order_relaxed) != generation ||
        thread.life.load(std::memory_order_acquire) != Life::kAlive)
      return true;
    call = wanted_in(thread, index);
    if (call != nullptr) found = &thread;
    return found == nullptr;
  });
  return found;
}

Did nobody(const ThreadRecord& self) {
  Did did;
  did.result = InjectResult::kNotReached;
  did.fork = self.fork.id;
  did.site = &self.fork;
  return did;
}

/// Waits for a thread that libc calls back from. True when one is kept.
bool wait_for_callback(ThreadRecord& self, std::uint32_t index, std::uint64_t until) {
  std::uint32_t word = wanted.word.settled();
  if (phase_of(word) != kIdle && wanted.forker.load(std::memory_order_relaxed) != &self &&
      sys::now() < wanted.until.load(std::memory_order_relaxed))
    return false;  // another fork is at it
  if (!wanted.word.begin(word)) return false;
  wanted.forker.store(&self, std::memory_order_relaxed);
  wanted.index.store(index, std::memory_order_relaxed);
  wanted.rounds.store(0, std::memory_order_relaxed);
  wanted.until.store(until + process.options.inject[index].wait, std::memory_order_relaxed);
  wanted.word.set(ForkWord::with(word, kLooking));
  while (true) {
    word = wanted.word.settled();
    if (phase_of(word) == kSampling) return false;
    if (phase_of(word) != kLooking && phase_of(word) != kChanging) return true;
    if (sys::now() < until)
      wanted.word.wait(word, until);
    else if (wanted.word.change(word, kSampling))
      return false;
  }
}

}  // namespace

void ask_for(ThreadRecord& self, std::uint32_t index) {
  InjectThread* state = state_of(self);
  if (state == nullptr || state->sampling != 0) return;
  // Alone: there is nobody to wait for.
  if (process.living.load(std::memory_order_relaxed) <= 1) return note(index, nobody(self));
  state->sampling = index + 1;
}

void begin(ThreadRecord& self) {
  InjectThread* state = known_state_of(self);
  if (state == nullptr || state->sampling == 0) return;
  const std::uint32_t index = (state->sampling & 0xffff) - 1;
  if (state->sampling >> 16 != 0) return;  // done: by the at-fork handler, and now the wrapper
  state->sampling |= 1u << 16;
  const std::uint64_t now = sys::now(), wait = process.options.inject[index].wait;
  if (wait_for_callback(self, index, now + std::min(wait / 2, kSurelyFirst))) return;
  state->sampling |= 2u << 16;
  const bool repeats = wanted.forker.load(std::memory_order_relaxed) == &self &&
                       wanted.rounds.load(std::memory_order_relaxed) != 0;
  const InsideCall* call = nullptr;
  while (find_inside(self, index, process.generation, call) == nullptr ||
         (repeats && wanted.rounds.load(std::memory_order_relaxed) < kRounds)) {
    if (sys::now() >= now + wait) return;
    sys::call(SYS_sched_yield);  // the other thread may have no processor but this one
  }
}

void end(ThreadRecord& self) {
  InjectThread* state = known_state_of(self);
  if (state == nullptr || state->sampling == 0) return;
  const std::uint32_t index = (state->sampling & 0xffff) - 1, how = state->sampling >> 16;
  state->sampling = 0;
  if ((how & 2) != 0) {  // the child tells
    std::uint32_t word = wanted.word.settled();
    if (wanted.forker.load(std::memory_order_relaxed) == &self && phase_of(word) == kSampling)
      wanted.word.change(word, kIdle);
    return;
  }
  Did did = nobody(self);
  did.result = InjectResult::kLetGo;
  did.holder = wanted.tid.load(std::memory_order_relaxed);
  did.function = wanted.call.load(std::memory_order_relaxed);
  did.holder_caller = wanted.caller.load(std::memory_order_relaxed);
  if (wanted.forker.load(std::memory_order_relaxed) == &self) {
    wanted.forker.store(nullptr, std::memory_order_relaxed);
    did.result = wanted.word.finish();
  }
  note(index, did);
}

void in_child(ThreadRecord& self) {
  wanted.forker.store(nullptr, std::memory_order_relaxed);
  wanted.word.reset();
  InjectThread* state = known_state_of(self);
  if (state == nullptr || (state->sampling >> 16 & 2) == 0) return;
  const std::uint32_t index = (state->sampling & 0xffff) - 1;
  const InsideCall* call = nullptr;
  Did did = nobody(self);
  if (const ThreadRecord* thread = find_inside(self, index, process.generation - 1, call)) {
    did.result = InjectResult::kInside;
    did.holder = thread->tid.load(std::memory_order_relaxed);
    did.function = call->call.load(std::memory_order_relaxed);
    did.holder_caller = reinterpret_cast<std::uint64_t>(call->caller);
  }
  note(index, did);
}

void enters(ThreadRecord& thread, UnsafeCall call) {
  std::uint32_t word = wanted.word.load();
  if (phase_of(word) != kTaken || wanted.forker.load(std::memory_order_relaxed) != &thread ||
      !record::meet_in_libc(call, wanted.call.load(std::memory_order_relaxed)))
    return;
  if (wanted.word.change(word, kNeeded)) end(thread);  // that fork may never come back
}

bool again(UnsafeCall call) {
  const ThreadRecord* self = detail::self;
  std::uint32_t word = wanted.word.load();
  if (self == nullptr || (phase_of(word) != kLooking && phase_of(word) != kSampling) ||
      wanted.forker.load(std::memory_order_relaxed) == self ||
      !is_wanted(call, wanted.index.load(std::memory_order_relaxed)) ||
      sys::now() >= wanted.until.load(std::memory_order_relaxed))
    return false;
  wanted.rounds.fetch_add(1, std::memory_order_relaxed);
  // It has been through without a call back: there is nothing to wait for.
  if (phase_of(word) == kLooking && wanted.word.change(word, kSampling)) wanted.word.wake();
  return true;
}

void inside(ThreadRecord& thread, const void* caller) {
  std::uint32_t word = wanted.word.load();
  if (phase_of(word) != kLooking || wanted.forker.load(std::memory_order_relaxed) == &thread)
    return;
  const std::uint32_t index = wanted.index.load(std::memory_order_relaxed);
  const InsideCall* call = wanted_in(thread, index);
  // Not what a function of the program's own allocates that libc calls.
  if (call == nullptr || (caller != nullptr && !unsafe_sites::is_in_libc(caller))) return;
  if (!wanted.word.change(word, kChanging)) return;
  wanted.tid.store(thread.tid.load(std::memory_order_relaxed), std::memory_order_relaxed);
  wanted.call.store(call->call.load(std::memory_order_relaxed), std::memory_order_relaxed);
  wanted.caller.store(reinterpret_cast<std::uint64_t>(call->caller), std::memory_order_relaxed);
  word = ForkWord::with(word, kTaken);
  wanted.word.set(word);
  wanted.word.stay(word, process.options.inject[index].wait);
}

}  // namespace forkscope::inject::inside_libc
