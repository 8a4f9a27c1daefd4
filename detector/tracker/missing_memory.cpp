#include "detector/tracker/missing_memory.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/forked_ranges.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

// What a handler returns to: rt_sigreturn, in the very bytes by which unwinders and debuggers know
// a signal frame without unwind tables. The nop is for those that look up the address before it.
asm(R"(
        .text
        .p2align 4
        nop
        .type   forkscope_signal_return, @function
forkscope_signal_return:
        movq    $15, %rax
        syscall
        .size   forkscope_signal_return, .-forkscope_signal_return
)");
extern "C" [[gnu::visibility("hidden")]] void forkscope_signal_return();

namespace forkscope::missing_memory {

namespace {

using namespace record;

constinit ForkedRanges ranges{};
constinit KernelAction replaced{};

constexpr std::uint64_t kSignalMask = 8;  // bytes, of the kernel's sigset_t
constexpr std::uint64_t kRestorer = 0x04000000;

/// Where a fault's finding begins: the interrupted instruction, as if it had been a call.
struct Fault {
  std::uint64_t pc, address;
  const ForkedRange* range;
  Severity severity;
  Evidence evidence;
};

void tell(const Fault& fault) {
  Meeting meeting{};
  meeting.thread = detail::self;
  meeting.object = reinterpret_cast<const void*>(fault.address);
  meeting.object_size = 0;
  meeting.words[0] = std::uint32_t(fault.range->advice);
  meeting.return_address = reinterpret_cast<const void*>(fault.pc);
  meeting.holder_caller = fault.range->caller;
  meeting.kind = Kind::kMissingMemory;
  meeting.severity = fault.severity;
  meeting.call = Call::kMemoryAccess;
  meeting.evidence = fault.evidence;
  meeting.lock_type = LockType::kMemory;
  meeting.living = process.living.load(std::memory_order_relaxed);
  meeting.fork = process.fork_after(fault.range->generation);
  meeting.range_begin = fault.range->begin;
  meeting.range_end = fault.range->end;
  write_finding(meeting);
}

const ForkedRange* lost_range(std::uint64_t address, int advice) {
  const ForkedRange* found = nullptr;
  ranges.each([&](const ForkedRange& range) {
    if (range.state == ForkedRange::kLost && range.advice == advice && range.holds(address))
      found = &range;
    return found == nullptr;
  });
  return found;
}

/// A register that points into wiped memory: the null or nonsense it led to was read there.
const ForkedRange* pointed_at(const ucontext_t& context) {
  for (int i = REG_R8; i <= REG_RSP; ++i)
    if (const auto* range =
            lost_range(std::uint64_t(context.uc_mcontext.gregs[i]), MADV_WIPEONFORK))
      return range;
  return nullptr;
}

void explain(const siginfo_t& info, const ucontext_t& context) {
  Fault fault{};
  fault.pc = std::uint64_t(context.uc_mcontext.gregs[REG_RIP]);
  fault.address = reinterpret_cast<std::uint64_t>(info.si_addr);
  if (info.si_code == SEGV_MAPERR && (fault.range = lost_range(fault.address, MADV_DONTFORK))) {
    fault.severity = Severity::kDeadlock;
    fault.evidence = Evidence::kFault;
  } else if ((fault.range = pointed_at(context))) {
    fault.severity = Severity::kHazard;
    fault.evidence = Evidence::kPointsThere;
  } else {
    return;
  }
  tell(fault);
}

/// Returns into the faulting instruction under the replaced action: signal, core and status are
/// what they were. One that was sent is sent again, as it was.
void on_fault(int signal, siginfo_t* info, void* context) {
  // A vfork child has a table of actions of its own, but our memory: nothing to be said in it.
  bool fault = info->si_code > 0;
  if (fault && sys::getpid() == process.pid)
    explain(*info, *static_cast<const ucontext_t*>(context));
  sys::call(SYS_rt_sigaction, signal, sys::arg(&replaced), 0, kSignalMask);
  if (!fault)
    sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), signal, sys::arg(info));
}

void install() {
  KernelAction now{};
  if (sys::call(SYS_rt_sigaction, SIGSEGV, 0, sys::arg(&now), kSignalMask) != 0) return;
  if (now.handler != reinterpret_cast<std::uint64_t>(SIG_DFL)) return;
  replaced = now;
  KernelAction own{handler_address(), SA_SIGINFO | SA_ONSTACK | kRestorer,
                   reinterpret_cast<std::uint64_t>(forkscope_signal_return), now.mask};
  sys::call(SYS_rt_sigaction, SIGSEGV, sys::arg(&own), 0, kSignalMask);
}

std::uint32_t mapped_ends(const ForkedRange& range) {
  return std::uint32_t(is_mapped(range.begin)) | std::uint32_t(is_mapped(range.end - 1)) << 1;
}

}  // namespace

std::uint64_t handler_address() { return reinterpret_cast<std::uint64_t>(&on_fault); }
const KernelAction& replaced_action() { return replaced; }

bool is_fork_advice(int advice) {
  return advice == MADV_DONTFORK || advice == MADV_DOFORK || advice == MADV_WIPEONFORK ||
         advice == MADV_KEEPONFORK;
}

void note_advice(const void* address, std::size_t length, int advice, const void* caller) {
  constexpr std::uint64_t kPage = 4096;
  auto begin = reinterpret_cast<std::uint64_t>(address);  // the kernel wants it on a page
  auto end = (begin + length + kPage - 1) & ~(kPage - 1);
  if (end <= begin || !is_fork_advice(advice)) return;
  if (advice == MADV_DOFORK)
    ranges.unmark(begin, end, MADV_DONTFORK);
  else if (advice == MADV_KEEPONFORK)
    ranges.unmark(begin, end, MADV_WIPEONFORK);
  else
    ranges.mark(begin, end, advice, caller);
}

// The ends stand for the whole: asking for every page of a large range would cost more than the
// fork, and the fault says for its own page that nothing is there.
void before_fork() {
  if (ranges.empty()) return;
  ranges.each([](ForkedRange& range) {
    if (range.state == ForkedRange::kLive)
      range.mapped.store(mapped_ends(range), std::memory_order_relaxed);
    return true;
  });
}

void in_child() {
  if (ranges.empty()) return;
  bool any = false;
  ranges.each([&](ForkedRange& range) {
    if (range.state == ForkedRange::kLive) {
      std::uint32_t before = range.mapped.load(std::memory_order_relaxed);
      std::uint32_t now = mapped_ends(range);
      bool wiped = range.advice == MADV_WIPEONFORK && (before & now) != 0;
      bool absent = range.advice == MADV_DONTFORK && (before & ~now) != 0;
      if (wiped || absent) {
        range.generation = process.generation - 1;
        range.state.store(ForkedRange::kLost, std::memory_order_release);
      }
    }
    any = any || range.state == ForkedRange::kLost;
    return true;
  });
  if (any) install();
}

}  // namespace forkscope::missing_memory
