#include "detector/cli/watch_spin.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "detector/inspect/observe.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/small_file.hpp"
#include "detector/inspect/stopped_threads.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/verdict/address_space.hpp"

namespace forkscope::cli {
namespace {

/// A loop that naps between its looks sleeps in some; one that sleeps in most does not spin.
constexpr int kMaxAsleep = 20;
constexpr int kMaxMissed = 5;  ///< stops that did not come off

}  // namespace

SpinSampler::SpinSampler(Evidence evidence, std::unique_ptr<LiveProcess> live, Namer& namer)
    : evidence_(std::move(evidence)),
      live_(std::move(live)),
      namer_(namer),
      walker_(live_->memory(), evidence_.process.modules) {}

std::unique_ptr<SpinSampler> SpinSampler::start(pid_t pid, Namer& namer) {
  auto live = LiveProcess::open(pid);
  if (!live) return nullptr;
  ObserveOptions options;
  auto evidence = observe(pid, options, namer);
  // A debugger is there already, and a 32-bit program's registers mean something else.
  if (!evidence || evidence->process.traced || evidence->process.abi == Abi::k32Bit ||
      !may_spin_for_lost_thread(*evidence))
    return nullptr;
  return std::unique_ptr<SpinSampler>(
      new SpinSampler(*std::move(evidence), std::move(live), namer));
}

bool SpinSampler::runs() const {
  const auto call = parse_syscall(read_small_file(fmt::format("/proc/{0}/task/{0}/syscall", pid())));
  return call && call->running;
}

bool SpinSampler::sample() {
  if (!runs()) return ++asleep_ <= kMaxAsleep && live_->stat().has_value();
  ThreadStopper stopper(pid(), live_->memory(), evidence_.process.mappings);
  const ThreadStop stop = stopper.look(pid());
  const auto* stopped = std::get_if<StoppedThread>(&stop);
  // On a busy machine a stop may take longer than we wait for it.
  if (stopped == nullptr) return ++missed_ <= kMaxMissed && live_->stat().has_value();
  SpinSample sample;
  const KnownRegisters& known = stopped->registers;
  sample.pc = known.pc;
  sample.sp = known.sp;
  sample.registers = stopped->general;
  if (stopped->call)
    sample.registers = {known.sp,
                        known.bp.value_or(0),
                        known.bx.value_or(0),
                        known.r12.value_or(0),
                        known.r13.value_or(0),
                        known.r14.value_or(0),
                        known.r15.value_or(0)};
  const AddressSpace space(evidence_.process.modules, nullptr, namer_);
  WalkedStack walked = walker_.walk(known, {stopped->stack});
  if (!stopped->call) walked.interrupted.push_back(known.pc);
  sample.stack = space.stack(walked);
  samples_.push_back(std::move(sample));
  if (samples_.size() % kSpinSamples != 0) return true;
  finding_ = judge_spin(evidence_, samples_);
  return !finding_ && samples_.size() < kMostSpinSamples;
}

}  // namespace forkscope::cli
