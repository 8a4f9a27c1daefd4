#include "detector/inspect/pausing_calls.hpp"

#include <algorithm>
#include <string_view>

#include "detector/inspect/called_function.hpp"
#include "detector/verdict/known_waits.hpp"
#include "detector/verdict/outside/memory_map.hpp"

namespace forkscope {
namespace {

using x86::Does;

constexpr x86::Registers kFirstArgument = 1u << 7;  ///< rdi
constexpr std::size_t kNearCall = 16, kNearLoop = 64;  ///< instructions that are looked back

bool is_pause(std::string_view name) {
  // glibc's own aliases, as its debug information has them: "__GI___nanosleep".
  if (name.starts_with("GI_")) name.remove_prefix(3);
  while (name.starts_with('_')) name.remove_prefix(1);
  constexpr std::string_view kWhole[] = {
      "nanosleep",  "clock_nanosleep", "usleep",        "sleep",         "sched_yield",
      "thrd_yield", "thrd_sleep",      "pthread_yield", "clock_gettime", "gettimeofday",
      "time",       "pthread_self",    "syscall",       "errno_location", "stack_chk_fail",
      "abort"};
  // Of strings there is one for each kind of processor.
  constexpr std::string_view kBegins[] = {"pthread_mutex_", "pthread_spin_", "pthread_cond_timed",
                                          "pthread_cond_clock", "mtx_", "cnd_timed", "sem_timed",
                                          "sem_clock", "sem_try", "vdso_", "std::chrono::",
                                          "strcmp", "strncmp", "memcmp", "strlen"};
  return std::find(std::begin(kWhole), std::end(kWhole), name) != std::end(kWhole) ||
         std::any_of(std::begin(kBegins), std::end(kBegins),
                     [&](std::string_view begin) { return name.starts_with(begin); });
}

bool is_copy(const x86::Instruction& what) { return what.does == Does::kMoves && !what.memory; }

/// The last instruction before `index` that writes the register; nothing when it is too far.
const x86::Instruction* writer_of(const FunctionCode& function, std::size_t& index,
                                  x86::Registers one, std::size_t most) {
  for (std::size_t steps = 0; index-- > 0 && steps < most; ++steps)
    if ((function.code[index].what.writes & one) != 0) return &function.code[index].what;
  return nullptr;
}

bool is_of_frame(const FunctionCode& function, x86::Registers reads) {
  return reads == 1u << x86::kSp || (function.frame_pointer && reads == 1u << x86::kBp);
}

/// Whether the call gives the address of a variable on the caller's stack as the first argument, in a
/// register that has it since before the loop or directly.
bool gives_variable(const FunctionCode& caller, std::size_t index) {
  const x86::Instruction* writer = writer_of(caller, index, kFirstArgument, kNearCall);
  if (writer == nullptr || !is_copy(*writer)) return false;
  if (is_of_frame(caller, writer->reads)) return true;
  const x86::Registers from = writer->reads;
  if (from == 0 || (from & (from - 1)) != 0) return false;
  writer = writer_of(caller, index, from, kNearLoop);
  return writer != nullptr && is_copy(*writer) && is_of_frame(caller, writer->reads);
}

/// Registers that have the first argument all the time, or what was saved of their caller's.
x86::Registers argument_registers(const FunctionCode& function) {
  x86::Registers have = kFirstArgument, others = 0;
  for (const PlacedInstruction& one : function.code) {
    if (!is_copy(one.what) || one.what.reads != kFirstArgument) continue;
    have |= one.what.writes;
  }
  for (const PlacedInstruction& one : function.code) {
    const bool copies = is_copy(one.what) && (one.what.reads & ~kFirstArgument) == 0;
    if (!copies) others |= one.what.writes & ~kFirstArgument;
  }
  return have & ~others;
}

}  // namespace

bool PausingCalls::only_pauses(const FunctionCode& caller, std::size_t index,
                               const ModuleRecord& module, int depth) {
  const PlacedInstruction& call = caller.code[index];
  std::optional<std::uint64_t> target;
  if (call.what.does == Does::kCallsBy || call.what.does == Does::kJumpsBy) {
    target = memory_.get<std::uint64_t>(call.place());
  } else if (depth > 0 && codes_.begins_at(call.place(), module) &&
             function_pauses(call.place(), module, depth - 1, gives_variable(caller, index))) {
    return true;
  } else if (call.what.does == Does::kCalls) {
    target = called_function(memory_, call.end());
  }
  if (!target) return false;
  const ModuleRecord* its = module_at(process_, *target);
  // The table's own code is to find the function when it is called first: it never was.
  if (its == &module) return *target != call.place() && !codes_.begins_at(*target, module);
  const std::vector<Frame> frames = namer_.code(*target, false, process_.modules);
  return !frames.empty() && is_pause(bare_function(frames.back().function));
}

bool PausingCalls::function_pauses(std::uint64_t start, const ModuleRecord& module, int depth,
                                   bool given_variable) {
  const FunctionCode* function = codes_.at(start, module);
  if (function == nullptr) return false;
  const x86::Registers argument = given_variable ? argument_registers(*function) : 0;
  for (std::size_t i = 0; i < function->code.size(); ++i) {
    const PlacedInstruction& one = function->code[i];
    const bool inside = one.place() >= function->start && one.place() < function->end;
    switch (one.what.does) {
      case Does::kStores:
        if (function->is_on_stack(one.what)) break;
        if (one.what.of_thread || one.what.base == 0 || (one.what.base & ~argument) != 0) return false;
        break;
      case Does::kJumps:
        if (inside) break;
        [[fallthrough]];
      case Does::kCalls:
      case Does::kCallsBy:
      case Does::kJumpsBy:
        if (!only_pauses(*function, i, module, depth)) return false;
        break;
      case Does::kUnknown:
        return false;
      default:
        break;
    }
  }
  return true;
}

}  // namespace forkscope
