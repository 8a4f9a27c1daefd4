// The machine code of a function as instructions, and the loops in it. x86-64. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "detector/inspect/code_references.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/x86_code.hpp"

namespace forkscope {

struct PlacedInstruction {
  std::uint64_t address = 0;
  x86::Instruction what;
  std::uint64_t end() const { return address + what.length; }
  /// Where it leads, or the address of its operand.
  std::uint64_t place() const { return end() + std::uint64_t(what.place); }
};

using Nodes = std::vector<bool>;  ///< one an instruction

struct FunctionCode {
  std::uint64_t start = 0, end = 0;
  std::vector<PlacedInstruction> code;   ///< in order of address
  std::vector<std::vector<std::size_t>> next, before;  ///< by index: what may follow, and precede
  bool frame_pointer = false;

  /// The instruction that has the byte at `address`.
  std::optional<std::size_t> index_at(std::uint64_t address) const;
  /// Those from which `index` comes back to itself, by ways within `allowed` only.
  Nodes circle_of(std::size_t index, const Nodes& allowed) const;
  /// Whether its operand is a variable of the function's own frame.
  bool is_on_stack(const x86::Instruction& instruction) const;
};

class FunctionCodes {
 public:
  explicit FunctionCodes(ProcessMemory& memory) : memory_(memory), references_(memory) {}

  /// The function around `pc`; null when it is too long, has bytes that are no instructions, or a
  /// part elsewhere (".cold") that leads back into it.
  const FunctionCode* at(std::uint64_t pc, const ModuleRecord& module);
  bool begins_at(std::uint64_t address, const ModuleRecord& module) {
    return references_.begins_at(address, module);
  }

 private:
  std::optional<std::uint64_t> start_of(std::uint64_t pc, const ModuleRecord& module);
  std::optional<FunctionCode> read(std::uint64_t start, const ModuleRecord& module);
  bool link(FunctionCode& function, const ModuleRecord& module);
  bool leads_back(std::uint64_t target, const FunctionCode& function, const ModuleRecord& module);

  ProcessMemory& memory_;
  CodeReferences references_;
  std::map<std::uint64_t, std::optional<FunctionCode>> functions_;  ///< by start
};

}  // namespace forkscope
