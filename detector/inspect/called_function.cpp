#include "detector/inspect/called_function.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace forkscope {
namespace {

constexpr std::size_t kDirectCall = 5;    // e8 rel32
constexpr std::size_t kIndirectCall = 6;  // ff 15 rel32: through a place relative to its end

/// The last four bytes of an instruction that ends at `end`, as a place relative to that end.
std::uint64_t target(std::uint64_t end, const std::uint8_t* last) {
  std::int32_t distance;
  std::memcpy(&distance, last, sizeof distance);
  return end + std::uint64_t(std::int64_t(distance));
}

/// "endbr64; bnd jmp *slot(%rip)", of which the first two are there or not: an entry of the
/// procedure linkage table. Gives the slot; nothing where it is none.
std::optional<std::uint64_t> slot_of_stub(ProcessMemory& memory, std::uint64_t address) {
  constexpr std::uint8_t kEndbr[] = {0xf3, 0x0f, 0x1e, 0xfa}, kJump[] = {0xff, 0x25};
  constexpr std::uint8_t kBnd = 0xf2;
  const auto code = memory.get<std::array<std::uint8_t, 11>>(address);
  if (!code) return std::nullopt;
  std::size_t at = std::equal(std::begin(kEndbr), std::end(kEndbr), code->begin()) ? 4 : 0;
  if ((*code)[at] == kBnd) ++at;
  if (!std::equal(std::begin(kJump), std::end(kJump), code->begin() + std::ptrdiff_t(at)))
    return std::nullopt;
  return target(address + at + kIndirectCall, code->data() + at + 2);
}

}  // namespace

std::optional<std::uint64_t> called_function(ProcessMemory& memory, std::uint64_t return_address) {
  const auto code = memory.get<std::array<std::uint8_t, kIndirectCall>>(return_address - kIndirectCall);
  if (!code) return std::nullopt;
  const std::uint64_t place = target(return_address, code->data() + 2);
  if ((*code)[0] == 0xff && (*code)[1] == 0x15) return memory.get<std::uint64_t>(place);
  if ((*code)[kIndirectCall - kDirectCall] != 0xe8) return std::nullopt;
  const auto slot = slot_of_stub(memory, place);
  return slot ? memory.get<std::uint64_t>(*slot) : place;
}

}  // namespace forkscope
