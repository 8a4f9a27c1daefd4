#include "detector/tracker/inject.hpp"

#include <linux/futex.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/inject_hold.hpp"
#include "detector/tracker/inject_inside.hpp"
#include "detector/tracker/inject_match.hpp"
#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/inject_thread.hpp"
#include "detector/tracker/lock_names.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::inject {

constinit bool armed = false;

namespace {

using record::Api;

/// Of this process: calls of each injection, and records written of it.
constinit std::atomic<std::uint32_t> calls[kMaxInjections] = {};
constinit std::atomic<std::uint32_t> recorded[kMaxInjections] = {};
constinit std::uint64_t process_key = 0;

constexpr std::uint32_t kChunk = 16;
constinit std::atomic<InjectThread*> chunks[Registry::kChunks] = {};

/// The finaliser of splitmix64: every bit of the input decides about every bit of the output.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

std::uint64_t hash_of(const char* text, std::uint64_t hash) {
  for (; *text != '\0'; ++text) hash = (hash ^ std::uint8_t(*text)) * 0x100000001b3u;
  return hash * 0x100000001b3u;
}

bool drawn(std::uint32_t index, ThreadRecord* thread) {
  const Injection& injection = process.options.inject[index];
  InjectThread* state = thread != nullptr ? state_of(*thread) : nullptr;
  const std::uint64_t key = state != nullptr ? state->key : process_key;
  const std::uint64_t call =
      state != nullptr ? state->calls[index]++ : calls[index].load(std::memory_order_relaxed);
  const std::uint64_t draw =
      mixed(process.options.seed ^ mixed(key ^ mixed(call ^ hash_of(injection.text, index))));
  return (draw >> 32) * kSurely >> 32 < injection.probability;
}

/// Where a pause or delay of ours already is: a signal handler in it is left alone.
class Busy {
 public:
  explicit Busy(ThreadRecord& thread) : state_(state_of(thread)) {
    free_ = state_ != nullptr && !state_->busy.exchange(true, std::memory_order_relaxed);
  }
  ~Busy() {
    if (free_) state_->busy.store(false, std::memory_order_relaxed);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  explicit operator bool() const { return free_; }

 private:
  InjectThread* state_;
  bool free_;
};

bool is_lock_action(InjectAction action) {
  switch (action) {
    case InjectAction::kForkWhileHeld:
    case InjectAction::kForkWhileIn:
    case InjectAction::kLockHold:
    case InjectAction::kLockYield:
    case InjectAction::kTrylockBusy:
    case InjectAction::kTimedlockTimeout:
    case InjectAction::kForkProbe:
      return true;
    default:
      return false;
  }
}

/// Of probes the seed decides with which of the first N calls they begin: who runs the program again
/// with another one has others.
std::uint32_t first_call(std::uint32_t index, const Injection& injection) {
  if (injection.action != InjectAction::kForkProbe) return 0;
  return std::uint32_t(mixed(process.options.seed ^ hash_of(injection.text, index)) %
                       injection.every);
}

}  // namespace

InjectThread* known_state_of(const ThreadRecord& thread) {
  InjectThread* chunk = chunks[thread.index / kChunk].load(std::memory_order_acquire);
  return chunk != nullptr ? chunk + thread.index % kChunk : nullptr;
}

InjectThread* state_of(ThreadRecord& thread) {
  InjectThread* state = known_state_of(thread);
  if (state == nullptr) {
    void* memory = sys::map_private(kChunk * sizeof(InjectThread));
    if (memory == nullptr) return nullptr;
    InjectThread* expected = nullptr;
    if (!chunks[thread.index / kChunk].compare_exchange_strong(
            expected, static_cast<InjectThread*>(memory), std::memory_order_acq_rel))
      sys::unmap(memory, kChunk * sizeof(InjectThread));
    state = known_state_of(thread);
  }
  // The record was given to a new thread, which nobody announced: libc's own, or of a clone.
  const std::uint32_t life = thread.life_number.load(std::memory_order_relaxed);
  if (state->life != life) {
    for (Has& has : state->has) has.lock.store(nullptr, std::memory_order_relaxed);
    std::memset(state->calls, 0, sizeof state->calls);
    state->holding = state->sampling = state->threads = state->forks = state->delays = 0;
    state->busy.store(false, std::memory_order_relaxed);
    state->key = thread.tid == process.pid ? process_key : mixed(process_key ^ life);
    state->life = life;
  }
  return state;
}

void init(int argc, char** argv) {
  if (process.options.injections == 0) return;
  armed = true;
  process_key = 0xcbf29ce484222325u;
  for (int i = 0; i < argc && argv[i] != nullptr; ++i) process_key = hash_of(argv[i], process_key);
  for (std::uint32_t i = 0; i < process.options.injections; ++i)
    if (is_lock_action(process.options.inject[i].action)) detail::lock_points = true;
  if (!detail::lock_points) return;
  init_match();
  probing::init();
  if (detail::self != nullptr) restore_lock_path(*detail::self);
}

bool due(std::uint32_t index, ThreadRecord* thread) {
  const Injection& injection = process.options.inject[index];
  if (injection.nth != 0 || injection.every != 0) {
    const std::uint32_t call = calls[index].fetch_add(1, std::memory_order_relaxed) + 1;
    if (injection.nth != 0) return call == injection.nth;
    return (call + first_call(index, injection)) % injection.every == 0;
  }
  return (injection.keys & inject_keys::kProbability) == 0 || drawn(index, thread);
}

void note(std::uint32_t index, const Did& did) {
  process.count(&record::Counters::injected);
  if (!process.arena.attached() || process.arena.crowded() ||
      recorded[index].fetch_add(1, std::memory_order_relaxed) >= record::kInjectedRecords)
    return;
  write(index, did);
}

void write(std::uint32_t index, const Did& did) {
  const Injection& injection = process.options.inject[index];
  record::Injected injected{};
  injected.seed = process.options.seed;
  injected.fork = did.fork;
  injected.lock = reinterpret_cast<std::uint64_t>(did.lock);
  injected.caller = did.holder_caller;
  injected.holder = did.holder;
  injected.error = did.error;
  injected.action = injection.action;
  injected.result = did.result;
  injected.lock_type = did.lock_type;
  injected.lock_flags = did.lock_flags;
  injected.function = std::uint8_t(did.function);
  injected.probed = did.probed;
  injected.repeat = did.repeat;
  if (did.site != nullptr) {
    injected.frames = did.site->frames;
    std::copy_n(did.site->stack, did.site->frames, injected.stack);
  } else {
    injected.frames = walk_stack(injected.stack, record::kMaxFrames, did.caller);
  }
  const std::size_t length = std::strlen(injection.text);
  injected.text_length = std::uint32_t(length);
  note_modules(injected.stack, injected.frames);
  if (injected.lock != 0) note_module(injected.lock), lock_names::note(injected.lock);
  if (injected.caller != 0) note_module(injected.caller);
  // Perhaps a vfork child, which is not `pid`.
  const std::int32_t by =
      process.shares_memory.load(std::memory_order_relaxed) != 0 ? sys::getpid() : process.pid;
  process.append_with_text(record::Type::kInjected, injected, injection.text, length, by);
}

void sleep(std::uint64_t nanoseconds) {
  const std::uint64_t until = sys::now() + nanoseconds;
  timespec at{time_t(until / 1'000'000'000), long(until % 1'000'000'000)};
  while (sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, sys::arg(&at), 0) ==
         -EINTR) {
  }
}

void wait_while(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t until) {
  timespec at{time_t(until / 1'000'000'000), long(until % 1'000'000'000)};
  // FUTEX_WAIT_BITSET takes an absolute time, and of CLOCK_MONOTONIC.
  sys::call(SYS_futex, sys::arg(&word), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, long(value),
            sys::arg(&at), 0, long(FUTEX_BITSET_MATCH_ANY));
}

void wake_all(std::atomic<std::uint32_t>& word) {
  sys::call(SYS_futex, sys::arg(&word), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 0x7fffffff);
}

int fails(InjectAction action, const void* caller) {
  int error = 0;
  each(action, [&](std::uint32_t index, const Injection& injection) {
    if (error != 0 || !due(index, detail::self)) return;
    error = injection.error;
    Did did;
    did.result = InjectResult::kFailed;
    did.caller = caller;
    did.error = error;
    note(index, did);
  });
  return error;
}

int fork_fails(Api api, const void* caller) {
  switch (api) {
    case Api::kClone:
    case Api::kCloneVm:
    case Api::kSyscallClone:
    case Api::kSyscallClone3:
      return fails(InjectAction::kCloneFail, caller);
    default:
      return fails(InjectAction::kForkFail, caller);
  }
}

namespace {

/// Those of `delays` that are for this place.
void delay(InjectWhere where, std::uint32_t delays, const ThreadRecord& self, const void* caller) {
  each(InjectAction::kForkDelay, [&](std::uint32_t index, const Injection& injection) {
    if (injection.where != where || (delays >> index & 1) == 0) return;
    Did did;
    did.caller = caller;
    did.fork = self.fork.id;
    note(index, did);
    sleep(injection.time);
  });
}

}  // namespace

void fork_begins(const void* caller) {
  ThreadRecord* self = detail::self;
  InjectThread* state = self != nullptr ? state_of(*self) : nullptr;
  if (state == nullptr) return;
  ++state->forks;
  state->delays = 0;
  // Decided here, where the calls are counted, also what the child is to do.
  each(InjectAction::kForkDelay, [&](std::uint32_t index, const Injection&) {
    if (due(index, self)) state->delays |= std::uint32_t{1} << index;
  });
  delay(InjectWhere::kBefore, state->delays, *self, caller);
  if (!lock_points()) return;
  each(InjectAction::kForkWhileHeld, [&](std::uint32_t index, const Injection&) {
    if (due(index, self)) hold::begin(*self, index);
  });
  each(InjectAction::kForkWhileIn, [&](std::uint32_t index, const Injection&) {
    if (due(index, self)) inside_libc::ask_for(*self, index);
  });
}

void before_call() {
  if (lock_points() && detail::self != nullptr) inside_libc::begin(*detail::self);
}

void call_done() {
  if (!lock_points() || detail::self == nullptr) return;
  inside_libc::end(*detail::self);
  hold::end(*detail::self);
}

void in_child(ThreadRecord& self) {
  InjectThread* parents = known_state_of(self);
  const std::uint64_t key = parents != nullptr ? parents->key : process_key;
  const std::uint32_t fork = parents != nullptr ? parents->forks : 0;
  process_key = mixed(key ^ mixed(fork));
  for (auto& count : calls) count.store(0, std::memory_order_relaxed);
  for (auto& count : recorded) count.store(0, std::memory_order_relaxed);
  if (lock_points()) {
    hold::in_child();
    inside_libc::in_child(self);
    probing::in_child();
  }
  if (parents == nullptr) return;
  // What it has it still has; its calls count from here.
  parents->life = self.life_number.load(std::memory_order_relaxed);
  parents->key = process_key;
  parents->holding = parents->sampling = parents->threads = parents->forks = 0;
  std::memset(parents->calls, 0, sizeof parents->calls);
}

void fork_returns(bool child, const void* caller) {
  InjectThread* state = detail::self != nullptr ? known_state_of(*detail::self) : nullptr;
  if (state != nullptr)
    delay(child ? InjectWhere::kChild : InjectWhere::kParent, state->delays, *detail::self, caller);
}

void new_thread(ThreadRecord& creator, ThreadRecord& made) {
  InjectThread* from = state_of(creator);
  InjectThread* to = state_of(made);
  if (from != nullptr && to != nullptr) to->key = mixed(from->key ^ mixed(~++from->threads));
}

void thread_starts(ThreadRecord& thread) {
  each(InjectAction::kThreadSlowStart, [&](std::uint32_t index, const Injection& injection) {
    if (!due(index, &thread)) return;
    note(index, Did{});
    sleep(injection.time);
  });
}

namespace slow {

void taken(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
           const void* caller) {
  const Locked locked{lock, type, flags, caller};
  const std::uint32_t matching = match(locked);
  if (matching == 0) return;
  Busy busy(thread);
  if (!busy) return;
  hold::taken(thread, locked, matching);
  for (std::uint32_t i = 0; i < process.options.injections; ++i) {
    const Injection& injection = process.options.inject[i];
    const bool holds = injection.action == InjectAction::kLockHold;
    if ((matching >> i & 1) == 0 || (!holds && injection.action != InjectAction::kLockYield) ||
        !due(i, &thread))
      continue;
    Did did;
    did.caller = caller;
    did.lock = lock;
    did.lock_type = type;
    did.lock_flags = flags;
    note(i, did);
    if (holds)
      sleep(injection.time);
    else
      sys::call(SYS_sched_yield);
  }
}

void giving_up(ThreadRecord& thread, const void* lock) { hold::giving_up(thread, lock); }

void wants(ThreadRecord& thread, const void* lock) { hold::wants(thread, lock); }

namespace {

bool is_to_fail(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
                record::Call call, const void* caller) {
  const record::Waits waits = record::waits_of(call);
  if (waits != record::Waits::kTry && waits != record::Waits::kTimed) return false;
  const InjectAction action =
      waits == record::Waits::kTry ? InjectAction::kTrylockBusy : InjectAction::kTimedlockTimeout;
  bool refused = false;
  each(action, [&](std::uint32_t index, const Injection&) {
    if (refused) return;
    if ((match({lock, type, flags, caller}) >> index & 1) == 0 || !due(index, &thread)) return;
    refused = true;
    Did did;
    did.result = InjectResult::kRefused;
    did.caller = caller;
    did.lock = lock;
    did.lock_type = type;
    did.lock_flags = flags;
    note(index, did);
  });
  return refused;
}

}  // namespace

bool refuses(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
             record::Call call, const void* caller) {
  if (is_to_fail(thread, lock, type, flags, call, caller)) return true;
  probing::point(thread, lock, caller);
  hold::wants(thread, lock);
  return false;
}

void enters(ThreadRecord& thread, record::UnsafeCall call) { inside_libc::enters(thread, call); }

void inside(ThreadRecord& thread, const void* caller) { inside_libc::inside(thread, caller); }

}  // namespace slow

}  // namespace forkscope::inject
