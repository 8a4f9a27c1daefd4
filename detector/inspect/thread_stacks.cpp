#include "detector/inspect/thread_stacks.hpp"

#include <algorithm>
#include <map>
#include <memory>

#include "detector/inspect/called_function.hpp"
#include "detector/inspect/python/python_reader.hpp"
#include "detector/inspect/stopped_threads.hpp"
#include "detector/inspect/walk_stack.hpp"
#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outside/thread_view.hpp"

namespace forkscope {
namespace {

/// The outermost function that is not libc's own: what the thread was created to run.
std::optional<Frame> start_of(const std::vector<Frame>& stack) {
  for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame)
    if (!is_libc_module(frame->module) && !is_standard_library(*frame) && !frame->inlined) return *frame;
  return std::nullopt;
}

/// Walks and names the stacks of one process.
class StackTaker {
 public:
  StackTaker(ProcessEvidence& process, ProcessMemory& memory, Namer& namer)
      : process_(process),
        space_(process.modules, nullptr, namer),
        memory_(memory),
        walker_(memory, process.modules) {
    std::string why_not;
    python_ = PythonReader::open(memory, process.modules, process.mappings, &why_not);
    if (!python_ && !why_not.empty())
      process.missing.push_back({"the Python frames cannot be read", why_not, ""});
  }

  void take_blocked(ThreadEvidence& thread) {
    if (python_)
      thread.python = python_->frames(thread.own_tid, thread.call ? thread.call->sp : 0);
    if (!thread.call || thread.call->pc == 0) return;
    KnownRegisters registers;
    registers.pc = thread.call->pc;
    registers.sp = thread.call->sp;
    fill(thread, walker_.walk(registers), StackSource::kBlocked);
  }

  void take_stopped(ThreadEvidence& thread, const StoppedThread& stopped) {
    if (python_) thread.python = python_->frames(thread.own_tid, stopped.registers.sp);
    WalkedStack walked = walker_.walk(stopped.registers, {stopped.stack});
    if (!stopped.call) walked.interrupted.push_back(stopped.registers.pc);
    fill(thread, walked, StackSource::kStopped);
  }

  void take_from_core(ThreadEvidence& thread, const KnownRegisters& registers) {
    if (python_) thread.python = python_->frames(thread.own_tid, registers.sp);
    WalkedStack walked = walker_.walk(registers);
    if (!thread.call) walked.interrupted.push_back(registers.pc);
    fill(thread, walked, StackSource::kCore);
  }

 private:
  void fill(ThreadEvidence& thread, const WalkedStack& walked, StackSource source) {
    thread.stack = space_.stack(walked);
    name_by_calls(thread.stack, walked);
    thread.stack_source = source;
    thread.stack_complete = walked.complete && walked.certain == walked.addresses.size();
    if (walked.complete && thread.own_tid != process_.own_pid)
      thread.start_routine = start_of(thread.stack);
  }

  /// What has no symbol is part of what its caller called, if that is in the same module: only
  /// a jump leads from one to the other.
  void name_by_calls(std::vector<Frame>& stack, const WalkedStack& walked) {
    const auto end = walked.addresses.begin() + std::ptrdiff_t(walked.certain);
    for (Frame& frame : stack) {
      if (!frame.function.empty() || frame.module.empty()) continue;
      const auto at = std::find(walked.addresses.begin(), end, frame.address);
      if (at == end || at + 1 == end) continue;
      const std::optional<Frame>& called = called_from(*(at + 1));
      if (called && called->module == frame.module) frame.function = called->function;
    }
  }

  const std::optional<Frame>& called_from(std::uint64_t return_address) {
    const auto [known, fresh] = called_.try_emplace(return_address);
    if (fresh)
      if (const auto called = called_function(memory_, return_address))
        known->second = space_.function(*called);
    return known->second;
  }

  ProcessEvidence& process_;
  const AddressSpace space_;
  ProcessMemory& memory_;
  std::map<std::uint64_t, std::optional<Frame>> called_;  ///< by return address
  StackWalker walker_;
  std::unique_ptr<PythonReader> python_;
};

}  // namespace

void take_blocked_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer) {
  StackTaker taker(process, memory, namer);
  for (ThreadEvidence& thread : process.threads) taker.take_blocked(thread);
}

void take_stopped_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer) {
  StackTaker taker(process, memory, namer);
  ThreadStopper stopper(process.pid, memory, process.mappings);
  for (ThreadEvidence& thread : process.threads) {
    ThreadStop stop = stopper.look(thread.tid);
    if (const auto* stopped = std::get_if<StoppedThread>(&stop)) {
      taker.take_stopped(thread, *stopped);
    } else {
      taker.take_blocked(thread);
      process.missing.push_back(std::get<Missing>(std::move(stop)));
    }
  }
}

void take_core_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer,
                      const std::vector<KnownRegisters>& registers) {
  StackTaker taker(process, memory, namer);
  for (std::size_t i = 0; i < process.threads.size() && i < registers.size(); ++i)
    taker.take_from_core(process.threads[i], registers[i]);
}

}  // namespace forkscope
