#include "detector/tracker/inject_hold.hpp"

#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_thread.hpp"
#include "detector/tracker/inject_word.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::inject::hold {

namespace {

/// How much longer than its limit a fork may be, before it is taken for one that never came back
/// (a signal handler jumped out of it).
constexpr std::uint64_t kGrace = 5'000'000'000;

/// The fork in progress.
struct Wanted {
  ForkWord word;
  std::atomic<ThreadRecord*> forker;
  std::atomic<std::uint32_t> index;
  std::atomic<std::uint64_t> until;  ///< when its wait for a holder ends
  std::atomic<ThreadRecord*> holder;
  std::atomic<const void*> lock;
  std::atomic<std::int32_t> tid;
  std::atomic<std::uint64_t> caller;
  std::atomic<record::LockType> type;
  std::atomic<std::uint8_t> flags;
};
constinit Wanted wanted{};

Phase phase_of(std::uint32_t word) { return ForkWord::phase_of(word); }

bool is_wanted_of(const ThreadRecord& thread, std::uint32_t injections) {
  return wanted.forker.load(std::memory_order_relaxed) != &thread &&
         (injections >> wanted.index.load(std::memory_order_relaxed) & 1) != 0;
}

/// From kLooking to kTaken. False if somebody else was faster.
bool take(std::uint32_t word, ThreadRecord& holder, const Locked& locked) {
  if (!wanted.word.change(word, kChanging)) return false;
  wanted.holder.store(&holder, std::memory_order_relaxed);
  wanted.lock.store(locked.lock, std::memory_order_relaxed);
  wanted.tid.store(holder.tid.load(std::memory_order_relaxed), std::memory_order_relaxed);
  wanted.caller.store(reinterpret_cast<std::uint64_t>(locked.caller), std::memory_order_relaxed);
  wanted.type.store(locked.type, std::memory_order_relaxed);
  wanted.flags.store(locked.flags, std::memory_order_relaxed);
  wanted.word.set(ForkWord::with(word, kTaken));
  return true;
}

/// What the words of the lock say to a thread's claim to have it.
bool has_indeed(const ThreadRecord& thread, const void* lock, record::LockType type) {
  switch (type) {
    case record::LockType::kMutexNormal:
    case record::LockType::kMutexRecursive:
    case record::LockType::kMutexErrorcheck:
    case record::LockType::kMutexAdaptive:
      return sys::equals(MutexWords(lock).owner_address(),
                         thread.tid.load(std::memory_order_relaxed));
    default:
      return lock_words::surely_taken(lock, type);
  }
}

/// Holds `thread` to one of its locks. False if it has none that is wanted.
bool take_from(ThreadRecord& thread) {
  InjectThread* state = known_state_of(thread);
  if (state == nullptr) return false;
  for (Has& has : state->has) {
    const void* lock = has.lock.load(std::memory_order_acquire);
    if (lock == nullptr || !is_wanted_of(thread, has.injections.load(std::memory_order_relaxed)))
      continue;
    const Locked locked{lock, has.type, has.flags, reinterpret_cast<const void*>(has.caller)};
    if (!has_indeed(thread, lock, locked.type)) continue;
    std::uint32_t word = wanted.word.load();
    if (phase_of(word) != kLooking) return true;  // somebody came by himself
    if (!take(word, thread, locked)) return true;
    if (has.lock.load(std::memory_order_seq_cst) == lock) return true;
    // On its way out, and perhaps past the point where it looks at the word.
    word = ForkWord::with(word, kTaken);
    if (wanted.word.change(word, kLooking)) wanted.word.wake();
  }
  return false;
}

void look_around(const ThreadRecord& self) {
  registry.each([&](ThreadRecord& thread) {
    const bool lives = thread.generation == process.generation &&
                       thread.life.load(std::memory_order_acquire) == Life::kAlive;
    return &thread == &self || !lives || !take_from(thread);
  });
}

/// Makes this the fork in progress. False if another one is, all the time.
bool enter(ThreadRecord& self, std::uint32_t index, std::uint64_t until) {
  while (true) {
    std::uint32_t word = wanted.word.settled();
    const std::uint64_t now = sys::now();
    const bool abandoned = wanted.forker.load(std::memory_order_relaxed) == &self ||
                           now > wanted.until.load(std::memory_order_relaxed) + kGrace;
    if (phase_of(word) == kIdle || abandoned) {
      if (!wanted.word.begin(word)) continue;
      wanted.forker.store(&self, std::memory_order_relaxed);
      wanted.index.store(index, std::memory_order_relaxed);
      wanted.until.store(until, std::memory_order_relaxed);
      wanted.holder.store(nullptr, std::memory_order_relaxed);
      wanted.word.set(ForkWord::with(word, kLooking));
      return true;
    }
    if (now >= until) return false;
    wanted.word.wait(word, until);
  }
}

Did nobody(const ThreadRecord& self) {
  Did did;
  did.result = InjectResult::kNotReached;
  did.fork = self.fork.id;
  did.site = &self.fork;
  return did;
}

}  // namespace

void begin(ThreadRecord& self, std::uint32_t index) {
  InjectThread* state = state_of(self);
  if (state == nullptr || state->holding != 0) return;  // one at a time
  // Nobody else is there, and nobody will come: who could create a thread is about to fork.
  if (process.living.load(std::memory_order_relaxed) <= 1) return note(index, nobody(self));
  const std::uint64_t until = sys::now() + process.options.inject[index].wait;
  if (!enter(self, index, until)) return note(index, nobody(self));
  look_around(self);
  while (true) {
    std::uint32_t word = wanted.word.settled();
    if (phase_of(word) != kLooking && phase_of(word) != kChanging) break;
    if (sys::now() < until) {
      wanted.word.wait(word, until);
    } else if (wanted.word.change(word, kIdle)) {
      wanted.word.wake();
      return note(index, nobody(self));
    }
  }
  state->holding = index + 1;
}

void end(ThreadRecord& self) {
  InjectThread* state = known_state_of(self);
  if (state == nullptr || state->holding == 0) return;
  const std::uint32_t index = state->holding - 1;
  state->holding = 0;
  Did did = nobody(self);
  did.lock = wanted.lock.load(std::memory_order_relaxed);
  did.lock_type = wanted.type.load(std::memory_order_relaxed);
  did.lock_flags = wanted.flags.load(std::memory_order_relaxed);
  did.holder = wanted.tid.load(std::memory_order_relaxed);
  did.holder_caller = wanted.caller.load(std::memory_order_relaxed);
  did.result = InjectResult::kLetGo;  // another fork has taken over
  if (wanted.forker.load(std::memory_order_relaxed) == &self) {
    wanted.forker.store(nullptr, std::memory_order_relaxed);
    did.result = wanted.word.finish();
  }
  note(index, did);
}

void in_child() {
  wanted.forker.store(nullptr, std::memory_order_relaxed);
  wanted.word.reset();
}

void taken(ThreadRecord& thread, const Locked& locked, std::uint32_t matching) {
  InjectThread* state = state_of(thread);
  if (state == nullptr) return;
  const std::uint32_t injections = matching & while_held_injections();
  if (injections == 0) return;
  Has* place = nullptr;
  for (Has& has : state->has) {
    const void* lock = has.lock.load(std::memory_order_relaxed);
    if (lock == locked.lock) place = &has;  // a semaphore that others post
    // A semaphore may never be posted by who waited for it.
    const bool gives_way = lock == nullptr || has.type == record::LockType::kSemaphore;
    if (place == nullptr && gives_way) place = &has;
  }
  if (place != nullptr) {
    place->lock.store(nullptr, std::memory_order_relaxed);
    place->injections.store(injections, std::memory_order_relaxed);
    place->type = locked.type;
    place->flags = locked.flags;
    place->caller = reinterpret_cast<std::uint64_t>(locked.caller);
    place->lock.store(locked.lock, std::memory_order_seq_cst);
  }
  const std::uint32_t word = wanted.word.settled();
  if (phase_of(word) == kLooking && is_wanted_of(thread, injections)) take(word, thread, locked);
}

void giving_up(ThreadRecord& thread, const void* lock) {
  InjectThread* state = known_state_of(thread);
  if (state == nullptr) return;
  Has* found = nullptr;
  for (Has& has : state->has)
    if (has.lock.load(std::memory_order_relaxed) == lock) found = &has;
  if (found == nullptr) return;
  const Locked locked{lock, found->type, found->flags,
                      reinterpret_cast<const void*>(found->caller)};
  const std::uint32_t injections = found->injections.load(std::memory_order_relaxed);
  found->lock.store(nullptr, std::memory_order_seq_cst);
  std::uint32_t word = wanted.word.settled();
  if (phase_of(word) == kLooking && is_wanted_of(thread, injections) &&
      has_indeed(thread, lock, locked.type)) {
    take(word, thread, locked);
    word = wanted.word.settled();
  }
  if (phase_of(word) == kTaken && wanted.holder.load(std::memory_order_relaxed) == &thread &&
      wanted.lock.load(std::memory_order_relaxed) == lock)
    wanted.word.stay(word,
                     process.options.inject[wanted.index.load(std::memory_order_relaxed)].wait);
}

void wants(ThreadRecord& thread, const void* lock) {
  std::uint32_t word = wanted.word.load();
  if (phase_of(word) != kTaken || wanted.forker.load(std::memory_order_relaxed) != &thread ||
      wanted.lock.load(std::memory_order_relaxed) != lock)
    return;
  // Written down at once: that fork may never come back, when its handlers take locks in an order
  // that the other thread inverts.
  if (wanted.word.change(word, kNeeded)) end(thread);
}

}  // namespace forkscope::inject::hold
