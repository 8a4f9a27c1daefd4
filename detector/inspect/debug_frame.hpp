// .debug_frame, read with libdw and rewritten as .eh_frame: libunwind's exported table search
// understands only that. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace forkscope {

/// What .debug_frame says about one function.
struct DebugFrame {
  std::uint64_t start = 0, end = 0;  ///< link-time addresses
  std::uint64_t code_alignment = 1;
  std::int64_t data_alignment = 1;
  std::uint8_t return_register = 0;
  std::vector<std::byte> initial_instructions, instructions;
};

/// The entry that covers a link-time address, from the file behind the descriptor (whose offset is
/// not used). Nothing when the file has none.
std::optional<DebugFrame> find_debug_frame(int descriptor, std::uint64_t address);

/// A CIE and an FDE in the format of .eh_frame, for code loaded at the given bias. The result is
/// valid at any address.
std::vector<std::byte> as_eh_frame(const DebugFrame& frame, std::uint64_t bias);
/// Offset of the FDE in the result of as_eh_frame.
std::size_t frame_fde_offset(const std::vector<std::byte>& eh_frame);

}  // namespace forkscope
