#include "detector/tracker/lost_threads.hpp"

#include <dlfcn.h>
#include <signal.h>
#include <sys/stat.h>

#include "detector/tracker/missing_memory.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

bool is_lost(const ThreadRecord& thread) { return thread.generation < process.generation; }

// Own threads first; then the kernel is asked, as TIDs are reused.
bool lives_here(std::int32_t tid) {
  bool found = false;
  registry.each([&](const ThreadRecord& thread) {
    found = !is_lost(thread) && thread.tid == tid &&
            thread.life.load(std::memory_order_relaxed) == Life::kAlive;
    return !found;
  });
  return found || sys::call(SYS_tgkill, process.pid, tid, 0) == 0;
}

const ThreadRecord* lost_owner(std::int32_t tid, const void* lock) {
  const ThreadRecord* best = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (!is_lost(thread) || thread.tid != tid) return true;
    bool recorded = table::contains(thread, lock);
    if (recorded || best == nullptr) best = &thread;
    return !recorded;
  });
  return best;
}

LostHolder lost_holder(const void* lock, record::LockType type, Hold hold) {
  LostHolder last;
  registry.each([&](const ThreadRecord& thread) {
    if (!is_lost(thread)) return true;
    thread.each([&](const Recorded& one) {
      if (one.lock != lock || one.type != type || one.hold != hold) return true;
      std::uint32_t time = one.slot != nullptr ? one.slot->time : 0;
      if (last.thread == nullptr || std::int32_t(time - last.time) > 0)
        last = {&thread, one.flags, time};
      return false;
    });
    return true;
  });
  return last;
}

const ThreadRecord* in_transit(const void* lock, record::LockType type) {
  const ThreadRecord* best = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (!is_lost(thread)) return true;
    thread.each([&](const Recorded& one) {
      if (one.lock == lock && one.type == type) best = &thread;
      return best == nullptr;
    });
    return best == nullptr;
  });
  return best;
}

namespace {

/// Entries of locks without owner word in lost tables, at the last count of this process's
/// generation: mostly 0, and then nothing need be searched.
struct LostEntries {
  std::uint32_t generation;
  std::uint32_t count;
};
constinit std::atomic<LostEntries> lost_entries{LostEntries{0, 0}};

bool is_typed(std::uintptr_t word) { return (word & kHoldMask) != 0; }

std::uint32_t count_typed(const ThreadRecord& thread) {
  std::uint32_t count = 0;
  for (const Slot* slot = thread.slots; slot < thread.top; ++slot)
    count += is_typed(slot->word.load(std::memory_order_relaxed));
  for (std::uint32_t i = 0; i < thread.deep; ++i)
    count += is_typed(thread.deep_slots[i].word.load(std::memory_order_relaxed));
  return count;
}

bool any_lost_entries() {
  LostEntries known = lost_entries.load(std::memory_order_relaxed);
  if (known.generation != process.generation) {
    known = {process.generation, 0};
    registry.each([&](const ThreadRecord& thread) {
      if (is_lost(thread)) known.count += count_typed(thread);
      return true;
    });
    lost_entries.store(known, std::memory_order_relaxed);
  }
  return known.count > 0;
}

}  // namespace

void forget_lost(const void* lock, record::LockType type) {
  if (process.generation == 0 || !any_lost_entries()) return;
  registry.each([&](ThreadRecord& thread) {
    if (!is_lost(thread)) return true;
    // In place: other threads of the child may be reading it.
    auto forget = [&](std::atomic<std::uintptr_t>& word, record::LockType its_type) {
      std::uintptr_t value = word.load(std::memory_order_relaxed);
      if (is_typed(value) && untagged(value) == lock && its_type == type)
        word.store(0, std::memory_order_relaxed);
    };
    for (Slot* slot = thread.slots; slot <= thread.top && slot <= thread.slots + kSlots; ++slot)
      forget(slot->word, slot->type);
    for (DeepSlot& slot : thread.deep_slots) forget(slot.word, slot.type);
    if (waited_on(thread, lock)) thread.wait_object.store(nullptr, std::memory_order_relaxed);
    for (const void*& one : thread.signalled)
      if (one == lock) one = nullptr;
    return true;
  });
}

bool held_here(const ThreadRecord& caller, const void* lock, record::LockType type) {
  bool found = false;
  registry.each([&](const ThreadRecord& thread) {
    if (is_lost(thread) || &thread == &caller) return true;
    thread.each([&](const Recorded& one) {
      found = one.lock == lock && one.type == type && one.hold == Hold::kHeld;
      return !found;
    });
    return !found;
  });
  return found;
}

bool has_timers() {
  for (long which : {0L, 1L, 2L}) {  // ITIMER_REAL, _VIRTUAL, _PROF
    struct {
      std::int64_t interval[2], left[2];
    } timer{};
    if (sys::call(SYS_getitimer, which, sys::arg(&timer)) != 0) return true;
    if (timer.left[0] != 0 || timer.left[1] != 0) return true;
  }
  return false;  // those of timer_create are not copied by fork, and nothing lists those made since
}

bool inherited(const ThreadRecord& caller, const void* object) {
  auto address = reinterpret_cast<std::uintptr_t>(object);
  dl_find_object found{};
  if (_dl_find_object(const_cast<void*>(object), &found) == 0) return true;
  if (caller.previous_tid == 0) return false;  // not the forking thread: all it has is new
  constexpr std::uintptr_t kThreadLocal = 64u << 10;
  return address - (caller.pthread - kThreadLocal) < 2 * kThreadLocal;
}

bool waited_on(const ThreadRecord& thread, const void* object) {
  return thread.wait_object.load(std::memory_order_relaxed) == object;
}

bool signalled(const ThreadRecord& thread, const void* object) {
  for (const void* one : thread.signalled)
    if (one == object) return true;
  return false;
}

const ThreadRecord* lost_partner(const void* object) {
  const ThreadRecord* partner = nullptr;
  bool certain = false;
  registry.each([&](const ThreadRecord& thread) {
    if (!is_lost(thread)) return true;
    certain = signalled(thread, object);
    if (certain || (partner == nullptr && waited_on(thread, object))) partner = &thread;
    return !certain;
  });
  return partner;
}

bool surely_alone() {
  struct stat info {};
  return process.living.load(std::memory_order_relaxed) == 1 &&
         sys::call(SYS_newfstatat, AT_FDCWD, sys::arg("/proc/self/task"), sys::arg(&info), 0) ==
             0 &&
         info.st_nlink == 3;  // ".", ".." and one thread
}

/// Errors of the thread itself come from no wait: Rust's runtime and the JVM's handle them in every
/// program. 32 and 33 are glibc's own (SIGCANCEL and SIGSETXID).
static bool ends_no_wait(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
         signal == SIGSYS || signal == 32 || signal == 33;
}

bool has_signal_handlers() {
  struct {  // the kernel's struct sigaction
    std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  } action;
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == SIGINT || ends_no_wait(signal)) continue;
    if (sys::call(SYS_rt_sigaction, signal, 0, sys::arg(&action), 8) != 0) return true;
    // Neither SIG_DFL nor SIG_IGN, nor the one that stands for SIG_DFL.
    if (action.handler > 1 && action.handler != missing_memory::handler_address()) return true;
  }
  return false;
}

}  // namespace forkscope
