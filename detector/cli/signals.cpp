#include "detector/cli/signals.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "detector/cli/failure.hpp"

namespace forkscope::cli {
namespace {

void set_mask(const unsigned long* wanted, unsigned long* previous) noexcept {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, wanted, previous, sizeof(unsigned long));
}

}  // namespace

Signals::Signals() {
  const unsigned long everything = ~0ul;
  set_mask(&everything, &inherited_mask_);
  for (std::size_t i = 0; i < kChanged.size(); ++i) {
    struct sigaction wanted {};
    wanted.sa_handler = kChanged[i] == SIGCHLD ? SIG_DFL : SIG_IGN;
    sigaction(kChanged[i], &wanted, &inherited_[i]);
  }
  sigset_t all;
  sigfillset(&all);
  fd_ = UniqueFd(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) {
    int error = errno;
    restore();
    throw Failure("cannot open a signal descriptor: " + error_text(error));
  }
}

Signals::~Signals() {
  // What came until now was meant for the program: a Ctrl-C it survived must not end us.
  while (next()) {
  }
  set_mask(&inherited_mask_, nullptr);
}

void Signals::restore() const noexcept {
  for (std::size_t i = 0; i < kChanged.size(); ++i) sigaction(kChanged[i], &inherited_[i], nullptr);
  set_mask(&inherited_mask_, nullptr);
}

std::optional<signalfd_siginfo> Signals::next() const {
  signalfd_siginfo info;
  if (read(fd_.get(), &info, sizeof info) != ssize_t(sizeof info)) return std::nullopt;
  return info;
}

void Signals::stop_by(int stop_signal) const {
  struct sigaction standard {
  }, previous{};
  standard.sa_handler = SIG_DFL;
  if (stop_signal != SIGSTOP) sigaction(stop_signal, &standard, &previous);
  kill(getpid(), stop_signal);
  const unsigned long all_but_stop = ~(1ul << (stop_signal - 1));
  unsigned long blocked = 0;
  set_mask(&all_but_stop, &blocked);  // stops here; SIGKILL and SIGSTOP are never blocked
  set_mask(&blocked, nullptr);
  if (stop_signal != SIGSTOP) sigaction(stop_signal, &previous, nullptr);
}

void Signals::die_by(int signal) {
  rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0);  // a core_pattern that is a pipe ignores the limit
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  kill(getpid(), signal);
  const unsigned long all_but_this = ~(1ul << (signal - 1));
  set_mask(&all_but_this, nullptr);
}

}  // namespace forkscope::cli
