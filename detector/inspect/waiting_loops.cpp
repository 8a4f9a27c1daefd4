#include "detector/inspect/waiting_loops.hpp"

#include <algorithm>
#include <set>

#include "detector/inspect/function_code.hpp"
#include "detector/inspect/pausing_calls.hpp"
#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/memory_map.hpp"
#include "detector/verdict/outside/waits.hpp"
#include "detector/verdict/outside/thread_view.hpp"

namespace forkscope {
namespace {

using x86::Does;

constexpr std::size_t kMostThreads = 8, kMostFrames = 4, kMostLost = 64;
constexpr int kCalls = 3, kDepth = 8, kNestedLoops = 8;

/// In the instruction that a frame is at: the innermost one's address may be of the next to run.
std::uint64_t pc_of(const ThreadEvidence& thread, std::size_t frame) {
  const std::uint64_t address = thread.stack[frame].address;
  const bool interrupted = !thread.call && address == thread.stack.front().address;
  return address - (interrupted ? 0 : 1);
}

/// A loop in a function, and what it looks at.
struct Loop {
  const FunctionCode* function;
  Nodes nodes;
  std::set<std::uint64_t> looks{};
  bool looks_elsewhere = false;
  bool looks_at_stack = false;
};

class Search {
 public:
  Search(ProcessMemory& memory, const ProcessEvidence& process, Namer& namer)
      : memory_(memory), process_(process), codes_(memory), calls_(memory, process, namer, codes_) {}

  std::optional<WaitingLoop> loop_of(const ThreadEvidence& thread,
                                     const std::vector<std::uint64_t>& lost_code);

 private:
  bool is_constant(std::uint64_t address) const {
    return std::any_of(process_.mappings.begin(), process_.mappings.end(), [&](const Mapping& one) {
      return address >= one.start && address < one.end && !one.writable;
    });
  }

  std::optional<Loop> loop_around(const FunctionCode& function, std::size_t index,
                                  const ModuleRecord& module);
  bool only_waits(Loop& loop, const ModuleRecord& module);
  void note_look(const PlacedInstruction& one, Loop& loop) const;
  std::optional<WaitingLoop> pause_at(const ThreadEvidence& thread);
  std::optional<WaitingLoop> loop_in_frames(const ThreadEvidence& thread,
                                            const std::vector<std::uint64_t>& lost_code);
  bool leaves(const Loop& loop, std::size_t index) const;
  bool leaves_by_itself(const Loop& loop, std::size_t index) const;
  bool changes(const Loop& loop, x86::Registers registers, std::size_t before, int depth) const;
  bool operand_changes(const Loop& loop, std::size_t index, int depth) const;
  bool is_known(const Loop& loop, const ThreadEvidence& thread,
                const std::vector<std::uint64_t>& lost_code, const ModuleRecord& module);

  ProcessMemory& memory_;
  const ProcessEvidence& process_;
  FunctionCodes codes_;
  PausingCalls calls_;
};

bool Search::leaves(const Loop& loop, std::size_t index) const {
  const PlacedInstruction& one = loop.function->code[index];
  const auto to = loop.function->index_at(one.place());
  const bool outside = one.place() < loop.function->start || one.place() >= loop.function->end;
  return outside || !to || !loop.nodes[*to] || index + 1 >= loop.nodes.size() ||
         !loop.nodes[index + 1];
}

/// Whether a way out is taken after some rounds, whatever memory says.
bool Search::leaves_by_itself(const Loop& loop, std::size_t index) const {
  const auto& code = loop.function->code;
  for (std::size_t i = index; i-- > 0 && loop.nodes[i];) {
    const x86::Instruction& what = code[i].what;
    if (what.does == Does::kCalls || what.does == Does::kCallsBy) return true;
    if (!what.sets_flags) continue;
    if (what.does == Does::kComputes || what.does == Does::kStores) return true;
    return changes(loop, what.reads, i, kDepth) || operand_changes(loop, i, kDepth);
  }
  return true;
}

/// Whether the registers may have other values each time the instruction before which they are read
/// is met, though memory is the same.
bool Search::changes(const Loop& loop, x86::Registers registers, std::size_t before,
                     int depth) const {
  const auto& code = loop.function->code;
  registers &= ~(1u << x86::kSp);
  if (loop.function->frame_pointer) registers &= ~(1u << x86::kBp);
  for (unsigned number = 0; number < 16; ++number) {
    const x86::Registers one = 1u << number;
    if ((registers & one) == 0) continue;
    if (depth == 0) return true;
    for (std::size_t step = 1; step <= code.size(); ++step) {
      const std::size_t i = (before + code.size() - step) % code.size();
      if (!loop.nodes[i]) continue;
      const x86::Instruction& what = code[i].what;
      const bool call = what.does == Does::kCalls || what.does == Does::kCallsBy;
      if (!(call ? (x86::kCallerSaved & one) != 0 : (what.writes & one) != 0)) continue;
      if (call || what.does == Does::kComputes) return true;
      if (what.does == Does::kTries) break;
      if (changes(loop, what.reads, i, depth - 1) || operand_changes(loop, i, depth - 1)) return true;
      break;
    }
  }
  return false;
}

/// The same of what an operand in memory gives.
bool Search::operand_changes(const Loop& loop, std::size_t index, int depth) const {
  const auto& code = loop.function->code;
  const x86::Instruction& what = code[index].what;
  if (!what.memory) return false;
  if (!loop.function->is_on_stack(what)) return changes(loop, what.base, index, depth);
  for (std::size_t i = 0; i < code.size(); ++i) {
    const x86::Instruction& other = code[i].what;
    if (!loop.nodes[i] || other.does != Does::kStores || other.displacement != what.displacement ||
        other.base != what.base) {
      continue;
    }
    if (depth == 0 || !other.plain_store || changes(loop, other.reads, i, depth - 1)) return true;
  }
  return false;
}

void Search::note_look(const PlacedInstruction& one, Loop& loop) const {
  const x86::Instruction& what = one.what;
  if (!what.memory || what.of_thread || what.does == Does::kCallsBy) return;
  if (loop.function->is_on_stack(what)) {
    loop.looks_at_stack = true;  // a variable that others were given a pointer to
  } else if (!what.by_ip) {
    loop.looks_elsewhere = true;
  } else if (!is_constant(one.place())) {
    loop.looks.insert(one.place());
  }
}

bool Search::only_waits(Loop& loop, const ModuleRecord& module) {
  bool ends = false;
  loop.looks.clear();
  loop.looks_elsewhere = loop.looks_at_stack = false;
  for (std::size_t i = 0; i < loop.nodes.size(); ++i) {
    if (!loop.nodes[i]) continue;
    const PlacedInstruction& one = loop.function->code[i];
    switch (one.what.does) {
      case Does::kUnknown:
        return false;
      case Does::kStores:
        if (!loop.function->is_on_stack(one.what)) return false;
        break;
      case Does::kCalls:
      case Does::kCallsBy:
        if (!calls_.only_pauses(*loop.function, i, module)) return false;
        break;
      case Does::kBranches:
        if (!leaves(loop, i)) break;
        if (leaves_by_itself(loop, i)) return false;
        ends = true;
        break;
      default:
        break;
    }
    note_look(one, loop);
  }
  return ends && (!loop.looks.empty() || loop.looks_elsewhere || loop.looks_at_stack);
}

/// The outermost loop around the instruction that only waits, by taking off the heads of those that
/// do more.
std::optional<Loop> Search::loop_around(const FunctionCode& function, std::size_t index,
                                        const ModuleRecord& module) {
  Nodes allowed(function.code.size(), true);
  for (int nested = 0; nested < kNestedLoops && allowed[index]; ++nested) {
    Loop loop{&function, function.circle_of(index, allowed)};
    if (!loop.nodes[index]) return std::nullopt;
    if (only_waits(loop, module)) return loop;
    for (std::size_t i = 0; i < loop.nodes.size(); ++i) {
      const bool head = loop.nodes[i] && (i == 0 || std::any_of(function.before[i].begin(),
                                                                function.before[i].end(),
                                                                [&](std::size_t from) {
                                                                  return !loop.nodes[from];
                                                                }));
      if (head) allowed[i] = false;
    }
  }
  return std::nullopt;
}

/// That lost threads were in the same function says nothing of what they would have done.
bool Search::is_known(const Loop& loop, const ThreadEvidence& thread,
                      const std::vector<std::uint64_t>& lost_code, const ModuleRecord& module) {
  CodeReferences references(memory_);
  for (std::size_t i = 0; i < thread.stack.size(); ++i) {
    const std::uint64_t pc = pc_of(thread, i);
    if (const ModuleRecord* its = module_at(process_, pc)) references.leave_out(pc, *its);
  }
  std::set<std::uint64_t> unknown = loop.looks;
  for (const std::uint64_t pc : lost_code)
    if (pc >= module.start && pc < module.end)
      references.look(pc, module, kCalls, [&](std::uint64_t address) { unknown.erase(address); });
  return !loop.looks.empty() && unknown.empty();
}

std::optional<WaitingLoop> Search::loop_of(const ThreadEvidence& thread,
                                           const std::vector<std::uint64_t>& lost_code) {
  auto loop = loop_in_frames(thread, lost_code);
  return loop ? loop : pause_at(thread);
}

std::optional<WaitingLoop> Search::pause_at(const ThreadEvidence& thread) {
  if (thread.call) return std::nullopt;
  const Frame& frame = thread.stack.front();
  constexpr std::uint16_t kPause = 0x90f3;  // as it lies in memory
  const auto before = memory_.get<std::uint16_t>(frame.address - sizeof kPause);
  if (before != kPause && memory_.get<std::uint16_t>(frame.address) != kPause) return std::nullopt;
  WaitingLoop loop;
  loop.tid = thread.tid;
  loop.function = frame;
  loop.looks_elsewhere = loop.only_pause = true;
  return loop;
}

std::optional<WaitingLoop> Search::loop_in_frames(const ThreadEvidence& thread,
                                                  const std::vector<std::uint64_t>& lost_code) {
  std::size_t frames = 0;
  const ModuleRecord* module = nullptr;
  for (std::size_t i = 0; i < thread.stack.size() && frames < kMostFrames; ++i) {
    const Frame& frame = thread.stack[i];
    if (is_libc_module(frame.module)) {
      if (module != nullptr) return std::nullopt;
      continue;
    }
    if (i > 0 && thread.stack[i - 1].address == frame.address) continue;  // has it inlined
    const std::uint64_t pc = pc_of(thread, i);
    const ModuleRecord* its = module_at(process_, pc);
    if (its == nullptr || (module != nullptr && its != module)) return std::nullopt;
    module = its;
    ++frames;
    const FunctionCode* function = codes_.at(pc, *module);
    const auto index = function != nullptr ? function->index_at(pc) : std::nullopt;
    if (!index) return std::nullopt;
    if (const auto loop = loop_around(*function, *index, *module))
      return WaitingLoop{thread.tid, frame, loop->looks_elsewhere,
                         is_known(*loop, thread, lost_code, *module), false};
    if (!calls_.only_pauses(function->start, *module)) return std::nullopt;
  }
  return std::nullopt;
}

/// Where the threads were that were not copied, and what they were started with.
std::vector<std::uint64_t> code_of_lost(const Evidence& evidence,
                                        const std::vector<LeftThread>& left) {
  std::vector<std::uint64_t> code;
  const auto lost = lost_threads(evidence);
  for (std::size_t i = 0; i < lost.size() && i < kMostLost; ++i) {
    for (const Frame& frame : lost[i]->stack) code.push_back(frame.address - 1);
    if (lost[i]->start_routine) code.push_back(lost[i]->start_routine->address);
  }
  for (std::size_t i = 0; i < left.size() && i < kMostLost; ++i) code.push_back(left[i].start_routine);
  return code;
}

bool may_go_round(const ThreadEvidence& thread, Abi abi) {
  const Wait wait = wait_of(thread, abi);
  return wait.kind == WaitKind::kRunning || wait.kind == WaitKind::kTime ||
         (wait.futex && !wait.for_ever);
}

}  // namespace

std::vector<WaitingLoop> waiting_loops(ProcessMemory& memory, const Evidence& evidence,
                                       const std::vector<LeftThread>& left, Namer& namer) {
  std::vector<WaitingLoop> loops;
  const ProcessEvidence& process = evidence.process;
  if (process.abi != Abi::kX86_64 || process.threads.size() > kMostThreads) return loops;
  std::optional<Search> search;
  std::vector<std::uint64_t> lost_code;
  for (const ThreadEvidence& thread : process.threads) {
    if (thread.stack.empty() || !may_go_round(thread, process.abi)) continue;
    if (!search) {
      search.emplace(memory, process, namer);
      lost_code = code_of_lost(evidence, left);
    }
    if (auto loop = search->loop_of(thread, lost_code)) loops.push_back(*std::move(loop));
  }
  return loops;
}

}  // namespace forkscope
