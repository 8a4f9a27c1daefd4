#include "preload/dispatch.hpp"

#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "detector/tracker/sys.hpp"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

// The signal's own return must not come by: its instructions are the range that the kernel lets
// through. The trap after it makes the range hold the address that the call returns to.
extern "C" const char forkscope_dispatch_return[], forkscope_dispatch_return_end[];
asm(".text\n"
    ".balign 16\n"
    ".hidden forkscope_dispatch_return\n"
    ".globl forkscope_dispatch_return\n"
    ".type forkscope_dispatch_return, @function\n"
    "forkscope_dispatch_return:\n"
    "  movl $15, %eax\n"  // rt_sigreturn
    "  syscall\n"
    "  ud2\n"
    ".hidden forkscope_dispatch_return_end\n"
    ".globl forkscope_dispatch_return_end\n"
    "forkscope_dispatch_return_end:\n"
    ".size forkscope_dispatch_return, . - forkscope_dispatch_return\n");

namespace forkscope::dispatch {

namespace {

constexpr int kUserDispatch = 2;  // SYS_USER_DISPATCH
constexpr char kAllow = 0, kBlock = 1;
constexpr std::uint64_t kRestorer = 0x04000000;  // SA_RESTORER

constexpr std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }
/// What the processor raises: blocked, it would end the process.
constexpr std::uint64_t kFaults =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP);

struct Action {  // the kernel's
  std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
};

volatile char selector = kAllow;
/// Its thread pointer: who asks must not need a system call.
constinit std::atomic<const void*> prober{nullptr};
constinit std::atomic<bool> armed{false};
constinit Action replaced{};
constinit std::uint64_t mask_before = 0;
/// A signal that the program has blocked, and that came in while it could not be.
constinit bool held_back = false;
constinit siginfo_t held_back_info{};

long action_of(int signal, const Action* action, Action* old) {
  return sys::call(SYS_rt_sigaction, signal, sys::arg(action), sys::arg(old), 8);
}

void set_mask(std::uint64_t mask, std::uint64_t* old = nullptr) {
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&mask), sys::arg(old), 8);
}

/// While a probe is made: everything, but SIGSYS only where the program has it blocked. A sandbox
/// may answer calls of at-fork handlers by it.
std::uint64_t blocked_mask() {
  return (mask_before & (kFaults | bit(SIGSYS))) | ~(kFaults | bit(SIGSYS));
}

/// No call of ours: as if we were not here.
void pass_on(int signal, siginfo_t* info, void* context) {
  const Action action = replaced;
  // A trap of seccomp ends the process also where the signal is ignored.
  const bool forced = info->si_code > 0;
  if (action.handler == std::uint64_t(SIG_IGN) && !forced) return;
  if (action.handler > std::uint64_t(SIG_IGN)) {
    std::uint64_t mask = 0;
    set_mask(static_cast<ucontext_t*>(context)->uc_sigmask.__val[0] | action.mask | bit(signal),
             &mask);
    if ((action.flags & SA_SIGINFO) != 0)
      reinterpret_cast<void (*)(int, siginfo_t*, void*)>(action.handler)(signal, info, context);
    else
      reinterpret_cast<void (*)(int)>(action.handler)(signal);
    set_mask(mask);
    return;
  }
  const Action by_default{};
  action_of(signal, &by_default, nullptr);
  sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), signal);
  set_mask(0);
}

/// The mask is that of the interrupted code, which the return from the signal restores.
long change_mask(ucontext_t& context, long how, const std::uint64_t* set, std::uint64_t* old,
                 long size) {
  if (size != 8) return -EINVAL;
  std::uint64_t& mask = context.uc_sigmask.__val[0];
  const std::uint64_t before = mask;
  if (set != nullptr) {
    if (how == SIG_BLOCK)
      mask |= *set;
    else if (how == SIG_UNBLOCK)
      mask &= ~*set;
    else if (how == SIG_SETMASK)
      mask = *set;
    else
      return -EINVAL;
    mask &= ~bit(SIGSYS);  // blocked, the next call would end the process
  }
  if (old != nullptr) *old = before;
  return 0;
}

/// Gives the result; `copied` where this was the call that is waited for.
long make_call(ucontext_t& context, long number, bool& copied) {
  greg_t* registers = context.uc_mcontext.gregs;
  const long a = registers[REG_RDI], b = registers[REG_RSI], c = registers[REG_RDX],
             d = registers[REG_R10], e = registers[REG_R8], f = registers[REG_R9];
  switch (number) {
    case SYS_clone:
      copied = true;
      return sys::call(SYS_clone, a & ~long{CSIGNAL}, b, c, d, e);
    case SYS_fork:
      copied = true;
      return sys::call(SYS_clone, 0, 0, 0, 0, 0);
    case SYS_clone3: {
      clone_args arguments{};
      if (std::size_t(b) > sizeof arguments) return -ENOSYS;  // libc falls back to clone
      std::memcpy(&arguments, reinterpret_cast<const void*>(a), std::size_t(b));
      arguments.exit_signal = 0;
      copied = true;
      return sys::call(SYS_clone3, sys::arg(&arguments), b);
    }
    case SYS_rt_sigprocmask:
      return change_mask(context, a, reinterpret_cast<const std::uint64_t*>(b),
                         reinterpret_cast<std::uint64_t*>(c), d);
    default:
      return sys::call(number, a, b, c, d, e, f);
  }
}

void on_signal(int signal, siginfo_t* info, void* given) {
  auto& context = *static_cast<ucontext_t*>(given);
  const bool own = is_prepared();
  const char was = selector;
  if (own) selector = kAllow;
  if (!own || info->si_code != kUserDispatch) {
    // Another thread's, a trap of seccomp, or a signal that somebody sent to this one.
    if (own && info->si_code <= 0 && (mask_before & bit(SIGSYS)) != 0) {
      held_back_info = *info;
      held_back = true;
    } else {
      pass_on(signal, info, given);
    }
    if (own) selector = was;
    return;
  }
  bool copied = false;
  const long result = make_call(context, info->si_syscall, copied);
  context.uc_mcontext.gregs[REG_RAX] = result;
  // After the copy nothing is to come by any more, in either process.
  if (!copied) selector = kBlock;
}

}  // namespace

int prepare() {
  Action now;
  if (long error = action_of(SIGSYS, nullptr, &now); error != 0) return int(-error);
  selector = kAllow;
  const auto* begin = forkscope_dispatch_return;
  const long error =
      sys::call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, sys::arg(begin),
                forkscope_dispatch_return_end - begin, sys::arg(&selector));
  if (error != 0) return int(-error);
  prober.store(__builtin_thread_pointer(), std::memory_order_relaxed);
  std::uint64_t mask = 0;
  sys::call(SYS_rt_sigprocmask, SIG_BLOCK, 0, sys::arg(&mask), 8);
  mask_before = mask;
  set_mask(blocked_mask());
  return 0;
}

void arm() {
  if (!is_prepared()) return;
  Action action;
  action.handler = reinterpret_cast<std::uint64_t>(&on_signal);
  // Not deferred: a trap of seccomp in a call that is made here would end the process.
  action.flags = SA_SIGINFO | SA_RESTART | SA_NODEFER | kRestorer;
  action.restorer = reinterpret_cast<std::uint64_t>(forkscope_dispatch_return);
  action.mask = ~(kFaults | bit(SIGSYS));
  armed.store(true, std::memory_order_seq_cst);
  if (action_of(SIGSYS, &action, &replaced) != 0) return;
  set_mask(blocked_mask() & ~bit(SIGSYS));
  selector = kBlock;
}

void disarm() {
  if (!is_prepared() || !armed.load(std::memory_order_relaxed)) return;
  selector = kAllow;
  set_mask(blocked_mask());
  Action ours;
  action_of(SIGSYS, &replaced, &ours);
  if (ours.handler != reinterpret_cast<std::uint64_t>(&on_signal))
    action_of(SIGSYS, &ours, nullptr);  // the program has set it meanwhile, by a raw call
  if (held_back) {
    held_back = false;
    sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), SIGSYS,
              sys::arg(&held_back_info));
  }
  armed.store(false, std::memory_order_seq_cst);
}

void finish() {
  disarm();
  sys::call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
  prober.store(nullptr, std::memory_order_relaxed);
  set_mask(mask_before);
}

void in_child() {
  selector = kAllow;
  set_mask(~std::uint64_t{0});
  const Action by_default{};
  for (int signal = 1; signal <= 64; ++signal)
    if (((kFaults | bit(SIGSYS)) & bit(signal)) != 0) action_of(signal, &by_default, nullptr);
  armed.store(false, std::memory_order_relaxed);
  prober.store(nullptr, std::memory_order_relaxed);
}

bool is_prepared() { return prober.load(std::memory_order_relaxed) == __builtin_thread_pointer(); }

void settle_signal(int signal) {
  if (signal != SIGSYS) return;
  constexpr int kYields = 1'000'000;  // not for ever: the prober may have been stopped
  for (int i = 0; i < kYields && armed.load(std::memory_order_seq_cst); ++i)
    sys::call(SYS_sched_yield);
}

}  // namespace forkscope::dispatch
