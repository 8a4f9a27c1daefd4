#include "detector/inspect/function_code.hpp"

#include <algorithm>

namespace forkscope {
namespace {

using x86::Does;

constexpr std::uint64_t kLongest = 16 << 10;  ///< bytes of a function

bool leads(const x86::Instruction& what) {
  return what.does == Does::kJumps || what.does == Does::kBranches;
}

bool goes_on(const x86::Instruction& what) {
  return what.does != Does::kJumps && what.does != Does::kJumpsBy && what.does != Does::kReturns;
}

/// push %rbp; mov %rsp,%rbp
bool makes_frame(const std::vector<PlacedInstruction>& code) {
  constexpr std::size_t kFirst = 4;
  const x86::Registers bp = 1u << x86::kBp, sp = 1u << x86::kSp;
  for (std::size_t i = 0; i < code.size() && i < kFirst; ++i) {
    const x86::Instruction& what = code[i].what;
    if (what.does == Does::kMoves && what.writes == bp && what.reads == sp && !what.memory) return true;
  }
  return false;
}

/// All nodes that are reached from `from` by at least one step.
Nodes reached(std::size_t from, const std::vector<std::vector<std::size_t>>& steps,
              const Nodes& allowed) {
  Nodes seen(steps.size());
  std::vector<std::size_t> next = steps[from];
  while (!next.empty()) {
    const std::size_t at = next.back();
    next.pop_back();
    if (!allowed[at] || seen[at]) continue;
    seen[at] = true;
    next.insert(next.end(), steps[at].begin(), steps[at].end());
  }
  return seen;
}

}  // namespace

std::optional<std::size_t> FunctionCode::index_at(std::uint64_t address) const {
  const auto after = std::upper_bound(
      code.begin(), code.end(), address,
      [](std::uint64_t value, const PlacedInstruction& one) { return value < one.address; });
  if (after == code.begin() || address >= (after - 1)->end()) return std::nullopt;
  return std::size_t(after - 1 - code.begin());
}

Nodes FunctionCode::circle_of(std::size_t index, const Nodes& allowed) const {
  Nodes circle = reached(index, next, allowed);
  const Nodes back = reached(index, before, allowed);
  for (std::size_t i = 0; i < circle.size(); ++i) circle[i] = circle[i] && back[i];
  return circle;
}

bool FunctionCode::is_on_stack(const x86::Instruction& what) const {
  return what.memory && !what.of_thread &&
         (what.base == 1u << x86::kSp || (frame_pointer && what.base == 1u << x86::kBp));
}

std::optional<std::uint64_t> FunctionCodes::start_of(std::uint64_t pc, const ModuleRecord& module) {
  std::uint64_t start = pc;
  while (!references_.begins_at(start, module))
    if (start-- <= module.start || pc - start >= kLongest) return std::nullopt;
  return start;
}

const FunctionCode* FunctionCodes::at(std::uint64_t pc, const ModuleRecord& module) {
  const auto start = start_of(pc, module);
  if (!start) return nullptr;
  const auto [known, fresh] = functions_.try_emplace(*start);
  if (fresh) {
    known->second = read(*start, module);
    if (known->second && !link(*known->second, module)) known->second.reset();
  }
  return known->second ? &*known->second : nullptr;
}

std::optional<FunctionCode> FunctionCodes::read(std::uint64_t start, const ModuleRecord& module) {
  FunctionCode function;
  function.start = function.end = start;
  do {
    if (++function.end - start >= kLongest || function.end >= module.end) return std::nullopt;
  } while (!references_.begins_at(function.end, module));
  std::vector<std::byte> bytes(function.end - start);
  if (!memory_.read(start, bytes)) return std::nullopt;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto what = x86::decode(std::span(bytes).subspan(at));
    if (!what) return std::nullopt;
    function.code.push_back({start + at, *what});
    at += what->length;
  }
  function.frame_pointer = makes_frame(function.code);
  return function;
}

bool FunctionCodes::leads_back(std::uint64_t target, const FunctionCode& function,
                               const ModuleRecord& module) {
  const auto start = start_of(target, module);
  const auto other = start ? read(*start, module) : std::nullopt;
  return !other || std::any_of(other->code.begin(), other->code.end(), [&](const auto& one) {
    return leads(one.what) && one.place() > function.start && one.place() < function.end;
  });
}

bool FunctionCodes::link(FunctionCode& function, const ModuleRecord& module) {
  const std::size_t size = function.code.size();
  function.next.resize(size);
  function.before.resize(size);
  const auto step = [&](std::size_t from, std::size_t to) {
    function.next[from].push_back(to);
    function.before[to].push_back(from);
  };
  for (std::size_t i = 0; i < size; ++i) {
    const PlacedInstruction& one = function.code[i];
    if (goes_on(one.what) && i + 1 < size) step(i, i + 1);
    if (!leads(one.what)) continue;
    const std::uint64_t target = one.place();
    if (target < function.start || target >= function.end) {
      if (leads_back(target, function, module)) return false;
      continue;
    }
    const auto to = function.index_at(target);
    if (!to || function.code[*to].address != target) return false;
    step(i, *to);
  }
  return true;
}

}  // namespace forkscope
