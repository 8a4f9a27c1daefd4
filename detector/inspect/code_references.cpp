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

}  // namespace

const std::vector<std::uint64_t>& CodeReferences::functions_of(const ModuleRecord& module) {
  const auto [at, fresh] = functions_.try_emplace(module.start);
  std::vector<std::uint64_t>& functions = at->second;
  const auto header = fresh ? memory_.get<Elf64_Ehdr>(module.start) : std::nullopt;
  if (!header || header->e_phentsize != sizeof(Elf64_Phdr)) return functions;
  std::vector<Elf64_Phdr> segments(std::min<std::size_t>(header->e_phnum, kMostHeaders));
  if (!memory_.read(module.start + header->e_phoff, std::as_writable_bytes(std::span(segments))))
    return functions;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_GNU_EH_FRAME) continue;
    const std::uint64_t place = module.bias + segment.p_vaddr;
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
  return functions;
}

std::optional<CodeReferences::Function> CodeReferences::function_at(std::uint64_t pc,
                                                                    const ModuleRecord& module) {
  const std::vector<std::uint64_t>& functions = functions_of(module);
  const auto after = std::upper_bound(functions.begin(), functions.end(), pc);
  if (after == functions.begin()) return std::nullopt;
  const std::uint64_t start = *(after - 1);
  const std::uint64_t longest = start + kMostCode;
  return Function{start, after != functions.end() ? std::min(*after, longest) : longest};
}

bool CodeReferences::begins_at(std::uint64_t address, const ModuleRecord& module) {
  const std::vector<std::uint64_t>& functions = functions_of(module);
  return std::binary_search(functions.begin(), functions.end(), address);
}

void CodeReferences::leave_out(std::uint64_t pc, const ModuleRecord& module) {
  if (const auto function = function_at(pc, module)) known_.insert(function->start);
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
    std::vector<std::byte> code(function->end - function->start);
    if (!memory_.read(function->start, code)) continue;
    for (std::size_t i = 1; i + 4 <= code.size(); ++i) {
      const std::int32_t value = number_at(code, i);
      const auto opcode = std::to_integer<std::uint8_t>(code[i - 1]);
      const std::uint64_t target = function->start + i + 4 + std::uint64_t(std::int64_t(value));
      if ((opcode == kCall || opcode == kJump) && calls_left > 0 && begins_at(target, module))
        next.emplace_back(target, calls_left - 1);
      // An immediate operand of so many bytes may follow the displacement.
      for (const std::uint64_t immediate : {0, 1, 2, 4}) seen(target + immediate);
      if (value > 0) seen(std::uint64_t(value));  // in a program at fixed addresses
    }
  }
}

}  // namespace forkscope
