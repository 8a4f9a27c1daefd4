#include "preload/probe.hpp"

#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <cstring>

#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/kernel_wait.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/dispatch.hpp"
#include "preload/fork.hpp"
#include "preload/real.hpp"
#include "preload/unsafe_next.hpp"

namespace forkscope::probe_fork {

namespace {

using inject::probing::Message;
using inject::probing::Probe;
using record::UnsafeCall;

constinit Message* message = nullptr;
constinit std::int32_t parent = 0;
constinit const ThreadRecord* prober = nullptr;

/// The program's own, which need not be the ones behind this library; looked up before any fork.
struct Allocator {
  void* (*allocate)(std::size_t) = nullptr;
  void (*release)(void*) = nullptr;
  FILE* (*open)(void*, std::size_t, const char*) = nullptr;
};
constinit Allocator program{};

// -- in the child

/// Nothing may reach the outside from here: no descriptor, no core file, and the end with the
/// thread that made it.
void shut_in() {
  sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (sys::getppid() != parent) sys::call(SYS_exit_group, 1);
  sys::call(SYS_prctl, PR_SET_NAME, sys::arg("forkscope-probe"));
  if (sys::call(SYS_close_range, 0, long{~0u}, 0) < 0)
    for (int fd = 0; fd < 1024; ++fd) sys::close(fd);
  // Whoever writes to the standard streams must not meet a file that a handler has opened.
  for (int fd = 0; fd < 3; ++fd) sys::openat("/dev/null", O_RDWR);
  std::uint64_t nothing[2] = {};
  sys::call(SYS_prlimit64, 0, RLIMIT_CORE, sys::arg(nothing), 0);
}

template <typename Function, typename... Arguments>
auto behind(UnsafeCall call, Arguments... arguments) {
  return next<Function>(call)(arguments...);
}

template <typename Do>
void item(InjectProbed what, UnsafeCall call, Do&& act) {
  if (inject::probing::begins(*message, what, call)) act();
}

void use_malloc() {
  constexpr std::size_t kSizes[] = {16, 1000, 40'000, 400'000};
  for (const std::size_t size : kSizes) {
    void* volatile memory = program.allocate(size);
    program.release(memory);
  }
}

void lock_streams() {
  for (FILE* stream : {stdin, stdout, stderr}) {
    if (stream == nullptr) continue;
    real().flockfile(stream);
    real().funlockfile(stream);
  }
}

/// Takes the lock of the list of streams, and needs no descriptor.
void open_stream() {
  static char buffer[64];
  if (FILE* stream = program.open(buffer, sizeof buffer, "r"))
    behind<int(FILE*)>(UnsafeCall::fclose, stream);
}

void open_object() {
  if (void* object = real().dlopen(nullptr, RTLD_LAZY | RTLD_NOLOAD)) real().dlclose(object);
}

void convert_time() {
  const time_t now = 0;
  struct tm parts;
  behind<struct tm*(const time_t*, struct tm*)>(UnsafeCall::localtime_r, &now, &parts);
}

void copy_locale() {
  if (locale_t copy = behind<locale_t(locale_t)>(UnsafeCall::duplocale, LC_GLOBAL_LOCALE))
    behind<void(locale_t)>(UnsafeCall::freelocale, copy);
}

[[noreturn]] void do_list(ThreadRecord& self) {
  // libc may have given back the mask that it had kept.
  std::uint64_t all = ~std::uint64_t{0};
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), 0, 8);
  inject::probing::try_locks(self, *message);
  item(InjectProbed::kMalloc, UnsafeCall::none, use_malloc);
  item(InjectProbed::kStreams, UnsafeCall::none, lock_streams);
  item(InjectProbed::kFopen, UnsafeCall::none, open_stream);
  item(InjectProbed::kDlopen, UnsafeCall::none, open_object);
  item(InjectProbed::kObjects, UnsafeCall::dl_iterate_phdr, [] {
    real().dl_iterate_phdr([](dl_phdr_info*, std::size_t, void*) { return 1; }, nullptr);
  });
  item(InjectProbed::kLocalTime, UnsafeCall::localtime_r, convert_time);
  item(InjectProbed::kEnvironment, UnsafeCall::unsetenv,
       [] { behind<int(const char*)>(UnsafeCall::unsetenv, "FORKSCOPE_NO_SUCH_VARIABLE"); });
  item(InjectProbed::kLocale, UnsafeCall::duplocale, copy_locale);
  item(InjectProbed::kRandom, UnsafeCall::random, [] { behind<long()>(UnsafeCall::random); });
  item(InjectProbed::kExit, UnsafeCall::on_exit,
       [] { real().on_exit([](int, void*) {}, nullptr); });
  inject::probing::finish(*message);
}

// -- in the parent

/// Whether it sleeps in a futex of its own memory, without a time limit: the same call, twice. It
/// has no other thread, and nobody else can reach that memory.
bool sleeps_for_ever(std::int32_t child) {
  constexpr std::uint64_t kBetween = 20'000'000;
  KernelWait first, second;
  if (!read_kernel_wait("/proc/", child, first)) return false;
  inject::sleep(kBetween);
  return read_kernel_wait("/proc/", child, second) && first == second &&
         first.is_futex_for_ever() && (first.arguments[1] & FUTEX_PRIVATE_FLAG) != 0;
}

/// Until the child is no more. Its end wakes nobody unless it says that it is done: so it is looked
/// for, too.
void wait_for(std::int32_t child, Probe& probe) {
  constexpr std::uint64_t kLook = 10'000'000;
  const std::uint64_t end = sys::now() + probe.wait;
  int status = 0;
  const auto ended = [&](int options) {
    long result = 0;
    do result = sys::call(SYS_wait4, child, sys::arg(&status), long{__WCLONE} | options, 0);
    while (result == -EINTR);
    return result != 0;
  };
  bool reaped = false;
  for (std::uint64_t now = sys::now(); message->done.load() == 0 && now < end; now = sys::now()) {
    const std::uint64_t left = end - now < kLook ? end - now : kLook;
    timespec limit{0, long(left)};
    sys::call(SYS_futex, sys::arg(&message->done), FUTEX_WAIT, 0, sys::arg(&limit));
    if (message->done.load() == 0 && (reaped = ended(WNOHANG))) break;
  }
  if (message->done.load() != 0) {
    probe.end = Probe::End::kDone;
  } else if (reaped) {
    probe.end = Probe::End::kDied;
  } else {
    probe.end = sleeps_for_ever(child) ? Probe::End::kWaits : Probe::End::kLate;
    sys::call(SYS_kill, child, SIGKILL);
  }
  if (!reaped) ended(0);
}

void run(ThreadRecord& self, Probe& probe) {
  const int error = errno;
  // Behind another library's fork() nobody knows what would happen.
  probe.end = Probe::End::kImpossible;
  probe.error =
      is_libcs(reinterpret_cast<const void*>(real().fork)) ? dispatch::prepare() : ENOTSUP;
  if (probe.error == 0) {
    message = probe.message;
    parent = sys::getpid();
    prober = &self;
    const pid_t child = real().fork();
    if (child == 0) do_list(self);
    probe.error = errno;
    if (child > 0)
      wait_for(child, probe);
    else
      probe.end = Probe::End::kNone;
    dispatch::finish();
    message = nullptr;
  }
  errno = error;
}

}  // namespace

void start() {
  inject::each(InjectAction::kForkProbe, [](std::uint32_t, const Injection&) {
    program.allocate = reinterpret_cast<decltype(program.allocate)>(dlsym(RTLD_DEFAULT, "malloc"));
    program.release = reinterpret_cast<decltype(program.release)>(dlsym(RTLD_DEFAULT, "free"));
    program.open = reinterpret_cast<decltype(program.open)>(dlsym(RTLD_DEFAULT, "fmemopen"));
    inject::probing::runner = run;
  });
}

void prepare() {
  if (message != nullptr) dispatch::arm();
}

void in_parent() {
  if (message != nullptr) dispatch::disarm();
}

void in_child() {
  if (message == nullptr) return;
  // Another thread forked while a probe was being made: a child of the program's.
  if (detail::self != prober) {
    message = nullptr;
    return;
  }
  dispatch::in_child();
  shut_in();
  process.probe = true;
  process.options.log_stderr = false;
  inject::armed = detail::lock_points = false;
  inject::probing::to_parent = message;
  message->at.store(InjectProbed::kHandlers, std::memory_order_release);
}

}  // namespace forkscope::probe_fork
