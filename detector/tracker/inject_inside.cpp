#include "detector/tracker/inject_inside.hpp"

#include <algorithm>

#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_thread.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_sites.hpp"

namespace forkscope::inject::inside_libc {

namespace {

using record::UnsafeCall;

enum Phase : std::uint32_t { kIdle, kChanging, kLooking, kTaken, kLetGo, kNeeded };
constexpr std::uint32_t kPhases = 8;

/// For so long only a thread will do that libc called back from: a hundredth of what a scheduler
/// may need to run it.
constexpr std::uint64_t kSurelyFirst = 100'000'000;

struct Wanted {
  std::atomic<std::uint32_t> word;
  std::atomic<ThreadRecord*> forker;
  std::atomic<std::uint32_t> index;
  std::atomic<std::uint64_t> until;
  std::atomic<std::int32_t> tid;
  std::atomic<UnsafeCall> call;
  std::atomic<std::uint64_t> caller;
};
constinit Wanted wanted{};

Phase phase_of(std::uint32_t word) { return Phase(word % kPhases); }
std::uint32_t with(std::uint32_t word, Phase phase) { return word - word % kPhases + phase; }
bool change(std::uint32_t& from, Phase to) {
  return wanted.word.compare_exchange_strong(from, with(from, to), std::memory_order_seq_cst);
}
std::uint32_t settled_word() {
  std::uint32_t word;
  while (phase_of(word = wanted.word.load(std::memory_order_seq_cst)) == kChanging)
    sys::call(SYS_sched_yield);
  return word;
}

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
  std::uint32_t word = settled_word();
  if (phase_of(word) != kIdle && wanted.forker.load(std::memory_order_relaxed) != &self &&
      sys::now() < wanted.until.load(std::memory_order_relaxed))
    return false;  // another fork is at it
  const std::uint32_t next = with(word + kPhases, kChanging);
  if (!wanted.word.compare_exchange_strong(word, next, std::memory_order_seq_cst)) return false;
  wanted.forker.store(&self, std::memory_order_relaxed);
  wanted.index.store(index, std::memory_order_relaxed);
  wanted.until.store(until + process.options.inject[index].wait, std::memory_order_relaxed);
  wanted.word.store(with(next, kLooking), std::memory_order_seq_cst);
  while (true) {
    word = settled_word();
    if (phase_of(word) != kLooking) return true;
    if (sys::now() < until)
      wait_while(wanted.word, word, until);
    else if (change(word, kIdle))
      return false;
  }
}

/// Where libc has called back: stays until the fork is done.
void stay(std::uint32_t word, std::uint64_t wait) {
  const std::uint64_t until = sys::now() + wait;
  while (wanted.word.load(std::memory_order_seq_cst) == word) {
    if (sys::now() < until) {
      wait_while(wanted.word, word, until);
      continue;
    }
    std::uint32_t now = word;
    if (change(now, kLetGo)) wake_all(wanted.word);
  }
}

}  // namespace

void ask_for(ThreadRecord& self, std::uint32_t index) {
  InjectThread* state = state_of(self);
  if (state != nullptr && state->sampling == 0) state->sampling = index + 1;
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
  const InsideCall* call = nullptr;
  // Nobody comes where nobody else is.
  while (process.living.load(std::memory_order_relaxed) > 1 &&
         find_inside(self, index, process.generation, call) == nullptr) {
    if (sys::now() >= now + wait) return;
    asm volatile("pause");
  }
}

void end(ThreadRecord& self) {
  InjectThread* state = known_state_of(self);
  if (state == nullptr || state->sampling == 0) return;
  const std::uint32_t index = (state->sampling & 0xffff) - 1, how = state->sampling >> 16;
  state->sampling = 0;
  if ((how & 2) != 0) return;  // the child tells
  Did did = nobody(self);
  did.result = InjectResult::kLetGo;
  did.holder = wanted.tid.load(std::memory_order_relaxed);
  did.function = wanted.call.load(std::memory_order_relaxed);
  did.holder_caller = wanted.caller.load(std::memory_order_relaxed);
  std::uint32_t word = settled_word();
  if (wanted.forker.load(std::memory_order_relaxed) == &self) {
    while (!change(word, kIdle)) {
    }
    if (phase_of(word) == kTaken) did.result = InjectResult::kForced;
    if (phase_of(word) == kNeeded) did.result = InjectResult::kNeededByForker;
    wanted.forker.store(nullptr, std::memory_order_relaxed);
    wake_all(wanted.word);
  }
  note(index, did);
}

void in_child(ThreadRecord& self) {
  wanted.forker.store(nullptr, std::memory_order_relaxed);
  wanted.word.store(with(wanted.word.load(std::memory_order_relaxed) + kPhases, kIdle),
                    std::memory_order_relaxed);
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
  std::uint32_t word = wanted.word.load(std::memory_order_seq_cst);
  if (phase_of(word) != kTaken || wanted.forker.load(std::memory_order_relaxed) != &thread ||
      !record::meet_in_libc(call, wanted.call.load(std::memory_order_relaxed)))
    return;
  if (change(word, kNeeded)) wake_all(wanted.word);
}

void inside(ThreadRecord& thread, const void* caller) {
  std::uint32_t word = wanted.word.load(std::memory_order_seq_cst);
  if (phase_of(word) != kLooking || wanted.forker.load(std::memory_order_relaxed) == &thread)
    return;
  const std::uint32_t index = wanted.index.load(std::memory_order_relaxed);
  const InsideCall* call = wanted_in(thread, index);
  // Not what a function of the program's own allocates that libc calls.
  if (call == nullptr || (caller != nullptr && !unsafe_sites::is_in_libc(caller))) return;
  if (!change(word, kChanging)) return;
  wanted.tid.store(thread.tid.load(std::memory_order_relaxed), std::memory_order_relaxed);
  wanted.call.store(call->call.load(std::memory_order_relaxed), std::memory_order_relaxed);
  wanted.caller.store(reinterpret_cast<std::uint64_t>(call->caller), std::memory_order_relaxed);
  word = with(word, kTaken);
  wanted.word.store(word, std::memory_order_seq_cst);
  wake_all(wanted.word);
  stay(word, process.options.inject[index].wait);
}

}  // namespace forkscope::inject::inside_libc
