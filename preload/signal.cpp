// sigaction, signal and its relatives: in a child where missing_memory.cpp has put a handler for
// SIGSEGV, the program sees the action that handler stands for, and what the program installs
// replaces it for good. Of SIGSYS it does not see what a probe (dispatch.hpp) has put there.
#include <signal.h>

#include <cstring>

#include "detector/tracker/inject.hpp"
#include "detector/tracker/missing_memory.hpp"
#include "preload/dispatch.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

bool is_ours(sighandler_t handler) {
  return reinterpret_cast<std::uint64_t>(handler) == missing_memory::handler_address();
}

/// As libc's sigaction stores what the kernel gives: it leaves the rest of the wider mask alone.
void show_replaced(struct sigaction& action) {
  const auto& replaced = missing_memory::replaced_action();
  action.sa_handler = reinterpret_cast<sighandler_t>(replaced.handler);
  action.sa_flags = int(replaced.flags);
  action.sa_restorer = reinterpret_cast<void (*)()>(replaced.restorer);
  std::memcpy(&action.sa_mask, &replaced.mask, sizeof replaced.mask);
}

/// A probe has SIGSYS for a moment.
void settle(int signal_number) {
  if (inject::armed) [[unlikely]]
    dispatch::settle_signal(signal_number);
}

sighandler_t shown(sighandler_t handler) {
  if (!is_ours(handler)) return handler;
  return reinterpret_cast<sighandler_t>(missing_memory::replaced_action().handler);
}

}  // namespace

FORKSCOPE_EXPORT int sigaction(int signal_number, const struct sigaction* __restrict action,
                               struct sigaction* __restrict old) noexcept {
  settle(signal_number);
  int result = real().sigaction(signal_number, action, old);
  if (result == 0 && old != nullptr && is_ours(old->sa_handler)) [[unlikely]]
    show_replaced(*old);
  return result;
}

FORKSCOPE_EXPORT int __sigaction(int signal_number, const struct sigaction* __restrict action,
                                 struct sigaction* __restrict old) noexcept {
  return sigaction(signal_number, action, old);
}

FORKSCOPE_EXPORT sighandler_t signal(int signal_number, sighandler_t handler) noexcept {
  settle(signal_number);
  return shown(real().signal(signal_number, handler));
}

FORKSCOPE_EXPORT sighandler_t ssignal(int signal_number, sighandler_t handler) noexcept {
  settle(signal_number);
  return shown(real().ssignal(signal_number, handler));
}

FORKSCOPE_EXPORT sighandler_t bsd_signal(int signal_number, sighandler_t handler) noexcept {
  settle(signal_number);
  return shown(real().bsd_signal(signal_number, handler));
}

FORKSCOPE_EXPORT sighandler_t sysv_signal(int signal_number, sighandler_t handler) noexcept {
  settle(signal_number);
  return shown(real().sysv_signal(signal_number, handler));
}

FORKSCOPE_EXPORT sighandler_t __sysv_signal(int signal_number, sighandler_t handler) noexcept {
  settle(signal_number);
  return shown(real().__sysv_signal(signal_number, handler));
}

FORKSCOPE_EXPORT sighandler_t sigset(int signal_number, sighandler_t disposition) noexcept {
  settle(signal_number);
  return shown(real().sigset(signal_number, disposition));
}
