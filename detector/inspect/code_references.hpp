// What the machine code of functions refers to: addresses in rip-relative operands and in
// immediates, found without decoding instructions, by looking at every byte. A place that is none
// gives an address that means nothing, so only addresses that mean something are to be believed.
// Follows direct calls. x86-64. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/record/session.hpp"

namespace forkscope {

class CodeReferences {
 public:
  explicit CodeReferences(ProcessMemory& memory) : memory_(memory) {}

  /// Whether its functions are known.
  bool knows(const ModuleRecord& module) { return !functions_of(module).starts.empty(); }
  /// Whether a function begins there.
  bool begins_at(std::uint64_t address, const ModuleRecord& module);
  /// Functions that were looked at, or left out, may be looked at again.
  void start_over() {
    known_.clear();
    left_ = kMostLooked;
  }
  /// The function around `pc` is not to be looked at.
  void leave_out(std::uint64_t pc, const ModuleRecord& module);
  /// Whether the function around `pc`, or one that it calls so many calls deep, calls functions by
  /// pointers, but for the calls that return to one of `running`. Bytes that merely look so count;
  /// code that cannot be read does, too.
  bool calls_by_pointer(std::uint64_t pc, const ModuleRecord& module, int calls,
                        const std::vector<std::uint64_t>& running);
  /// Calls `seen` for each address that the function around `pc` may refer to, and those that it
  /// calls, so many calls deep. Functions that were looked at before are left out.
  void look(std::uint64_t pc, const ModuleRecord& module, int calls,
            const std::function<void(std::uint64_t)>& seen);

 private:
  struct Functions {
    std::vector<std::uint64_t> starts;  ///< by the search table of .eh_frame_hdr; sorted
    std::uint64_t end = 0;              ///< of all code
  };
  const Functions& functions_of(const ModuleRecord& module);
  struct Function {
    std::uint64_t start = 0, end = 0;
  };
  std::optional<Function> function_at(std::uint64_t pc, const ModuleRecord& module);
  std::vector<std::byte> code_of(const Function& function);
  /// The function that a direct call or jump leads to whose operand is at `i` of the code.
  std::optional<std::uint64_t> called_at(const Function& function, const std::vector<std::byte>& code,
                                         std::size_t i, const ModuleRecord& module);

  ProcessMemory& memory_;
  std::map<std::uint64_t, Functions> functions_;  ///< by start of the module
  std::set<std::uint64_t> known_;
  static constexpr int kMostLooked = 512;
  int left_ = kMostLooked;  ///< functions still to be looked at, all in all
};

}  // namespace forkscope
