#include "detector/inspect/called_function.hpp"

#include <array>

#include "detector/inspect/frame_base.hpp"

namespace forkscope {

std::optional<std::uint64_t> called_function(ProcessMemory& memory, std::uint64_t return_address) {
  constexpr std::size_t kCall = 6, kEntry = 11;  // bytes: of a call, of an entry of the table
  const auto before = memory.get<std::array<std::byte, kCall>>(return_address - kCall);
  if (!before) return std::nullopt;
  const CallBefore call = call_before(*before);
  const std::uint64_t place = return_address + std::uint64_t(std::int64_t(call.distance));
  if (call.kind == CallBefore::Kind::kThrough) return memory.get<std::uint64_t>(place);
  if (call.kind != CallBefore::Kind::kDirect) return std::nullopt;
  const auto entry = memory.get<std::array<std::byte, kEntry>>(place);
  const auto slot = entry ? linkage_slot(*entry) : std::nullopt;
  return slot ? memory.get<std::uint64_t>(place + std::uint64_t(*slot)) : place;
}

}  // namespace forkscope
