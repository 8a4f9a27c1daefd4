#include "detector/inspect/code_references.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace forkscope {
namespace {

constexpr std::size_t kMostFunctions = 1 << 20;
constexpr std::size_t kMostCode = 64 << 10;  ///< of one function
constexpr std::uint8_t kCall = 0xe8, kJump = 0xe9;
constexpr std::size_t kMostHeaders = 64;
constexpr std::size_t kMostCalled = 256;
constexpr std::uint64_t kLongestCall = 7;  ///< of the instruction, in bytes

struct SearchTable {
  std::uint8_t version, frame_encoding, count_encoding, table_encoding;
  std::int32_t frame;
  std::uint32_t count;
};

std::int32_t number_at(const std::vector<std::byte>& bytes, std::size_t at) {
  std::int32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// `call *` and `jmp *`: FF /2 and FF /4, but for a jump by a word of a table of imports.
bool is_by_pointer(const std::vector<std::byte>& code, std::size_t at) {
  if (std::to_integer<std::uint8_t>(code[at]) != 0xff) return false;
  const auto modes = std::to_integer<std::uint8_t>(code[at + 1]);
  const int operation = modes >> 3 & 7;
  return operation == 2 || (operation == 4 && modes != 0x25);
}

}  // namespace

const CodeReferences::Functions& CodeReferences::functions_of(const ModuleRecord& module) {
  const auto [at, fresh] = functions_.try_emplace(module.start);
  std::vector<std::uint64_t>& functions = at->second.starts;
  const auto header = fresh ? memory_.get<Elf64_Ehdr>(module.start) : std::nullopt;
  if (!header || header->e_phentsize != sizeof(Elf64_Phdr)) return at->second;
  std::vector<Elf64_Phdr> segments(std::min<std::size_t>(header->e_phnum, kMostHeaders));
  if (!memory_.read(module.start + header->e_phoff, std::as_writable_bytes(std::span(segments))))
    return at->second;
  for (const Elf64_Phdr& segment : segments) {
    const std::uint64_t place = module.bias + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0)
      at->second.end = std::max(at->second.end, place + segment.p_filesz);
    if (segment.p_type != PT_GNU_EH_FRAME) continue;
    const auto table = memory_.get<SearchTable>(place);
    // The encodings that every linker writes: DW_EH_PE_pcrel | sdata4, udata4, datarel | sdata4.
    if (!table || table->version != 1 || table->frame_encoding != 0x1b ||
        table->count_encoding != 0x03 || table->table_encoding != 0x3b ||
        table->count > kMostFunctions) {
      continue;
    }
    std::vector<std::int32_t> entries(2 * std::size_t(table->count));
    if (!memory_.read(place + sizeof *table, std::as_writable_bytes(std::span(entries)))) continue;
    for (std::size_t i = 0; i < entries.size(); i += 2)
      functions.push_back(place + std::uint64_t(std::int64_t(entries[i])));
  }
  std::sort(functions.begin(), functions.end());
  return at->second;
}

std::optional<CodeReferences::Function> CodeReferences::function_at(std::uint64_t pc,
                                                                    const ModuleRecord& module) {
  const auto& [functions, last_end] = functions_of(module);
  const auto after = std::upper_bound(functions.begin(), functions.end(), pc);
  if (after == functions.begin()) return std::nullopt;
  const std::uint64_t start = *(after - 1);
  const std::uint64_t end = after != functions.end() ? *after : std::max(last_end, start);
  return Function{start, std::min(end, start + kMostCode)};
}

bool CodeReferences::begins_at(std::uint64_t address, const ModuleRecord& module) {
  const std::vector<std::uint64_t>& functions = functions_of(module).starts;
  return std::binary_search(functions.begin(), functions.end(), address);
}

void CodeReferences::leave_out(std::uint64_t pc, const ModuleRecord& module) {
  if (const auto function = function_at(pc, module)) known_.insert(function->start);
}

std::vector<std::byte> CodeReferences::code_of(const Function& function) {
  std::vector<std::byte> code(function.end - function.start);
  if (!memory_.read(function.start, code)) code.clear();
  return code;
}

std::optional<std::uint64_t> CodeReferences::called_at(const Function& function,
                                                       const std::vector<std::byte>& code,
                                                       std::size_t i, const ModuleRecord& module) {
  const auto opcode = std::to_integer<std::uint8_t>(code[i - 1]);
  if (opcode != kCall && opcode != kJump) return std::nullopt;
  const std::uint64_t target =
      function.start + i + 4 + std::uint64_t(std::int64_t(number_at(code, i)));
  return begins_at(target, module) ? std::optional(target) : std::nullopt;
}

bool CodeReferences::calls_by_pointer(std::uint64_t pc, const ModuleRecord& module, int calls,
                                      const std::vector<std::uint64_t>& running) {
  std::vector<std::pair<std::uint64_t, int>> next{{pc, calls}};
  std::set<std::uint64_t> known;
  while (!next.empty()) {
    const auto [address, calls_left] = next.back();
    next.pop_back();
    const auto function = function_at(address, module);
    if (!function || known.size() >= kMostCalled) return true;
    if (!known.insert(function->start).second) continue;
    const std::vector<std::byte> code = code_of(*function);
    if (code.empty()) return true;
    for (std::size_t i = 1; i + 4 <= code.size(); ++i) {
      if (const auto called = called_at(*function, code, i, module)) {
        if (calls_left > 0) next.emplace_back(*called, calls_left - 1);
        i += 4;  // no instruction begins in its operand
        continue;
      }
      const std::uint64_t place = function->start + i;
      const bool runs = std::any_of(running.begin(), running.end(), [&](std::uint64_t next_one) {
        return place < next_one && next_one - place <= kLongestCall;
      });
      if (!runs && is_by_pointer(code, i)) return true;
    }
  }
  return false;
}

void CodeReferences::look(std::uint64_t pc, const ModuleRecord& module, int calls,
                          const std::function<void(std::uint64_t)>& seen) {
  std::vector<std::pair<std::uint64_t, int>> next{{pc, calls}};
  while (!next.empty() && left_ > 0) {
    const auto [address, calls_left] = next.back();
    next.pop_back();
    const auto function = function_at(address, module);
    if (!function || !known_.insert(function->start).second) continue;
    --left_;
    const std::vector<std::byte> code = code_of(*function);
    for (std::size_t i = 1; i + 4 <= code.size(); ++i) {
      const std::int32_t value = number_at(code, i);
      const std::uint64_t target = function->start + i + 4 + std::uint64_t(std::int64_t(value));
      if (const auto called = called_at(*function, code, i, module); called && calls_left > 0)
        next.emplace_back(*called, calls_left - 1);
      // An immediate operand of so many bytes may follow the displacement.
      for (const std::uint64_t immediate : {0, 1, 2, 4}) seen(target + immediate);
      if (value > 0) seen(std::uint64_t(value));  // in a program at fixed addresses
    }
  }
}

}  // namespace forkscope
