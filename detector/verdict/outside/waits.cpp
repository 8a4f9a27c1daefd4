#include "detector/verdict/outside/waits.hpp"

#include <fmt/format.h>
#include <linux/futex.h>

#include <algorithm>
#include <string_view>

namespace forkscope {
namespace {

/// What a blocked call does. `%` stands for the first argument, a descriptor.
struct Known {
  std::string_view name;
  WaitKind kind;
  std::string_view does;
  int x86_64, generic;  ///< system call numbers; -1: the architecture has none
  int timeout;          ///< index of a pointer to a time limit (null: none), or -1
};

// Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
constexpr Known kKnown[] = {
    {"read", WaitKind::kOutside, "reads from descriptor %", 0, 63, -1},
    {"pread64", WaitKind::kOutside, "reads from descriptor %", 17, 67, -1},
    {"readv", WaitKind::kOutside, "reads from descriptor %", 19, 65, -1},
    {"write", WaitKind::kOutside, "writes to descriptor %", 1, 64, -1},
    {"pwrite64", WaitKind::kOutside, "writes to descriptor %", 18, 68, -1},
    {"writev", WaitKind::kOutside, "writes to descriptor %", 20, 66, -1},
    {"open", WaitKind::kOutside, "opens a file", 2, -1, -1},
    {"openat", WaitKind::kOutside, "opens a file", 257, 56, -1},
    {"poll", WaitKind::kOutside, "polls descriptors", 7, -1, -1},
    {"ppoll", WaitKind::kOutside, "polls descriptors", 271, 73, 2},
    {"select", WaitKind::kOutside, "selects descriptors", 23, -1, 4},
    {"pselect6", WaitKind::kOutside, "selects descriptors", 270, 72, 4},
    {"epoll_wait", WaitKind::kOutside, "waits for events on epoll descriptor %", 232, -1, -1},
    {"epoll_pwait", WaitKind::kOutside, "waits for events on epoll descriptor %", 281, 22, -1},
    {"epoll_pwait2", WaitKind::kOutside, "waits for events on epoll descriptor %", 441, 441, 3},
    {"accept", WaitKind::kOutside, "accepts connections on descriptor %", 43, 202, -1},
    {"accept4", WaitKind::kOutside, "accepts connections on descriptor %", 288, 242, -1},
    {"connect", WaitKind::kOutside, "connects descriptor %", 42, 203, -1},
    {"recvfrom", WaitKind::kOutside, "receives on descriptor %", 45, 207, -1},
    {"recvmsg", WaitKind::kOutside, "receives on descriptor %", 47, 212, -1},
    {"recvmmsg", WaitKind::kOutside, "receives on descriptor %", 299, 243, 4},
    {"sendto", WaitKind::kOutside, "sends on descriptor %", 44, 206, -1},
    {"sendmsg", WaitKind::kOutside, "sends on descriptor %", 46, 211, -1},
    {"wait4", WaitKind::kOutside, "waits for a child process", 61, 260, -1},
    {"waitid", WaitKind::kOutside, "waits for a child process", 247, 95, -1},
    {"vfork", WaitKind::kOutside, "waits for the child of its vfork", 58, -1, -1},
    {"clone", WaitKind::kOutside, "waits for the child of its vfork", 56, 220, -1},
    {"clone3", WaitKind::kOutside, "waits for the child of its vfork", 435, 435, -1},
    {"flock", WaitKind::kOutside, "waits for a lock on the file of descriptor %", 73, 32, -1},
    {"fcntl", WaitKind::kOutside, "waits for a lock on the file of descriptor %", 72, 25, -1},
    {"pause", WaitKind::kOutside, "waits for a signal", 34, -1, -1},
    {"rt_sigsuspend", WaitKind::kOutside, "waits for a signal", 130, 133, -1},
    {"rt_sigtimedwait", WaitKind::kOutside, "waits for a signal", 128, 137, 2},
    {"semop", WaitKind::kOutside, "waits for a System V semaphore", 65, 193, -1},
    {"semtimedop", WaitKind::kOutside, "waits for a System V semaphore", 220, 192, 3},
    {"msgrcv", WaitKind::kOutside, "waits for a System V message", 70, 188, -1},
    {"msgsnd", WaitKind::kOutside, "waits for room in a System V queue", 69, 189, -1},
    {"mq_timedreceive", WaitKind::kOutside, "waits for a message", 243, 183, 4},
    {"mq_timedsend", WaitKind::kOutside, "waits for room in a message queue", 242, 182, 4},
    {"io_getevents", WaitKind::kOutside, "waits for its input and output", 208, 4, 4},
    {"io_uring_enter", WaitKind::kOutside, "waits for its input and output", 426, 426, -1},
    {"fsync", WaitKind::kOutside, "waits for the disk", 74, 82, -1},
    {"fdatasync", WaitKind::kOutside, "waits for the disk", 75, 83, -1},
    {"nanosleep", WaitKind::kTime, "sleeps", 35, 101, -1},
    {"clock_nanosleep", WaitKind::kTime, "sleeps", 230, 115, -1},
    {"sched_yield", WaitKind::kRunning, "gives the processor away", 24, 124, -1},
    {"restart_syscall", WaitKind::kOutside, "goes on with a wait that was interrupted", 219, 128, -1},
    {"exit", WaitKind::kOutside, "has ended", 60, 93, -1},
    {"exit_group", WaitKind::kOutside, "ends", 231, 94, -1},
};

constexpr int kFutexX86 = 202, kFutexGeneric = 98;
constexpr int kFutexWaitNew = 455, kFutexWaitV = 449;  // futex_wait, futex_waitv: all architectures

Wait futex_wait(const SystemCall& call) {
  Wait wait;
  const auto operation = static_cast<int>(call.arguments[1]);
  FutexWait futex;
  futex.address = call.arguments[0];
  futex.expected = static_cast<std::uint32_t>(call.arguments[2]);
  futex.is_private = (operation & FUTEX_PRIVATE_FLAG) != 0;
  switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
      break;
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
      futex.bitset = true;
      break;
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      futex.pi = true;
      break;
    default:  // waking, requeueing: they do not block
      wait.does = "is in a futex call that does not wait";
      return wait;
  }
  futex.timed = call.arguments[3] != 0;
  wait.kind = WaitKind::kFutex;
  wait.for_ever = !futex.timed;
  wait.does = futex.timed ? "waits for a futex, for a limited time" : "waits for a futex";
  wait.futex = futex;
  return wait;
}

/// futex_wait(2) of Linux 6.7: address, value, mask, FUTEX2 flags, time limit, clock.
Wait futex2_wait(const SystemCall& call) {
  Wait wait;
  FutexWait futex;
  futex.address = call.arguments[0];
  futex.expected = static_cast<std::uint32_t>(call.arguments[1]);
  futex.bitset = true;
  futex.is_private = (call.arguments[3] & FUTEX_PRIVATE_FLAG) != 0;
  futex.timed = call.arguments[4] != 0;
  wait.kind = WaitKind::kFutex;
  wait.for_ever = !futex.timed;
  wait.does = futex.timed ? "waits for a futex, for a limited time" : "waits for a futex";
  wait.futex = futex;
  return wait;
}

/// Time limits that are numbers, not pointers: milliseconds, negative for none.
bool has_numeric_limit(std::string_view name, const SystemCall& call) {
  const auto limit = [&](int index) { return static_cast<std::int32_t>(call.arguments[index]) >= 0; };
  if (name == "poll") return limit(2);
  if (name == "epoll_wait" || name == "epoll_pwait") return limit(3);
  return false;
}

}  // namespace

Wait wait_of(const ThreadEvidence& thread, Abi abi) {
  Wait wait;
  if (thread.state == 'T' || thread.state == 't') {
    wait.kind = WaitKind::kStopped;
    wait.does = thread.state == 't' ? "is stopped by a debugger" : "is stopped by a signal";
    return wait;
  }
  if (thread.state == 'Z' || thread.state == 'X') {
    wait.kind = WaitKind::kOutside;
    wait.does = "has ended";
    return wait;
  }
  if (thread.running) {
    wait.kind = WaitKind::kRunning;
    wait.does = "runs";
    return wait;
  }
  if (!thread.call) {
    wait.does = "does what cannot be read";
    return wait;
  }
  return wait_of(*thread.call, abi);
}

Wait wait_of(const SystemCall& call, Abi abi) {
  Wait wait;
  if (call.number < 0) {
    wait.kind = WaitKind::kOutside;
    wait.does = "is blocked in the kernel, in no system call (a page fault)";
    return wait;
  }
  if (abi == Abi::k32Bit) {
    wait.does = fmt::format("is blocked in system call {} of a 32-bit program", call.number);
    return wait;
  }
  const bool x86 = abi == Abi::kX86_64;
  if (call.number == (x86 ? kFutexX86 : kFutexGeneric)) return futex_wait(call);
  if (call.number == kFutexWaitNew) return futex2_wait(call);
  if (call.number == kFutexWaitV) {
    wait.kind = WaitKind::kFutex;
    wait.does = "waits for one of several futexes";
    wait.for_ever = call.arguments[3] == 0;
    return wait;
  }
  for (const Known& known : kKnown) {
    if (call.number != (x86 ? known.x86_64 : known.generic)) continue;
    wait.kind = known.kind;
    wait.does = known.does;
    if (const auto hole = wait.does.find('%'); hole != std::string::npos) {
      wait.does.replace(hole, 1, std::to_string(static_cast<std::int32_t>(call.arguments[0])));
    }
    const bool limited =
        known.kind == WaitKind::kTime || known.kind == WaitKind::kRunning || has_numeric_limit(known.name, call) ||
        (known.timeout >= 0 && call.arguments[known.timeout] != 0);
    wait.for_ever = !limited;
    if (limited && known.kind == WaitKind::kOutside) wait.does += ", for a limited time";
    return wait;
  }
  wait.kind = WaitKind::kOutside;
  wait.does = fmt::format("is blocked in system call {}", call.number);
  wait.for_ever = true;
  return wait;
}

}  // namespace forkscope
