#include "detector/tracker/lost_threads.hpp"

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

bool has_signal_handlers() {
  struct {  // the kernel's struct sigaction
    std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  } action;
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == 32 || signal == 33) continue;  // SIGCANCEL and SIGSETXID: glibc's own
    if (sys::call(SYS_rt_sigaction, signal, 0, sys::arg(&action), 8) != 0) return true;
    // Neither SIG_DFL nor SIG_IGN, nor the one that stands for SIG_DFL.
    if (action.handler > 1 && action.handler != missing_memory::handler_address()) return true;
  }
  return false;
}

}  // namespace forkscope
