#include "scenarios/support/stop_at_call.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "scenarios/support/program.hpp"

namespace forkscope::scenario {
namespace {

#if defined(__x86_64__)

/// Page-aligned: the sixth argument of mmap is an offset, of no meaning for anonymous memory.
constexpr std::uint32_t kCookie = 0x5ca1a000;

std::atomic<Pause*> next_pause = nullptr;

void on_trapped_call(int, siginfo_t*, void* context) {
  const int saved_errno = errno;
  if (Pause* pause = next_pause.exchange(nullptr)) pause->here();
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const long result =
      syscall(registers[REG_RAX], registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
              registers[REG_R10], registers[REG_R8], static_cast<long>(kCookie));
  registers[REG_RAX] = result == -1 ? -errno : result;
  errno = saved_errno;
}

void install_filter(long number) {
  constexpr auto kNumber = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  constexpr auto kSixth = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 5 * 8);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0,
               2),  // another: allow
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kSixth),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCookie, 0, 1),  // not ours: trap
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    throw Skipped("seccomp filters are not allowed here");
}

#endif

}  // namespace

void stop_at_next_call(long number, Pause& pause) {
#if defined(__x86_64__)
  struct sigaction action {};
  action.sa_sigaction = on_trapped_call;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) throw_errno("cannot handle SIGSYS");
  next_pause = &pause;
  install_filter(number);
#else
  (void)number, (void)pause;
  throw Skipped("only x86-64 is known to stop_at_next_call");
#endif
}

}  // namespace forkscope::scenario
