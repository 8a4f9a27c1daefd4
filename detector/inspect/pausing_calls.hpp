// Whether a function that a loop calls can do more than pause: nap, look at the clock, take a lock,
// wait for a limited time. x86-64. Not thread-safe.
#pragma once

#include "detector/inspect/function_code.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

class PausingCalls {
 public:
  PausingCalls(ProcessMemory& memory, const ProcessEvidence& process, Namer& namer,
               FunctionCodes& codes)
      : memory_(memory), process_(process), namer_(namer), codes_(codes) {}

  /// The call at `index` of the function.
  bool only_pauses(const FunctionCode& caller, std::size_t index, const ModuleRecord& module) {
    return only_pauses(caller, index, module, kDepth);
  }
  /// A whole function: it stores nothing but what is its own, and calls what may be called.
  bool only_pauses(std::uint64_t start, const ModuleRecord& module) {
    return function_pauses(start, module, kDepth, false);
  }

 private:
  static constexpr int kDepth = 3;

  bool only_pauses(const FunctionCode& caller, std::size_t index, const ModuleRecord& module,
                   int depth);
  /// `given_variable`: its first argument is a variable of its caller's.
  bool function_pauses(std::uint64_t start, const ModuleRecord& module, int depth,
                       bool given_variable);

  ProcessMemory& memory_;
  const ProcessEvidence& process_;
  Namer& namer_;
  FunctionCodes& codes_;
};

}  // namespace forkscope
