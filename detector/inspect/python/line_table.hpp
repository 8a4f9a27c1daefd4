// Which source line an instruction of a code object belongs to, from the table compiled into it.
// Pure; thread-safe. The bytes are another process's and never trusted: nothing is read outside
// them, and damage gives some line or none, never an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "detector/inspect/python/interpreter_layout.hpp"

namespace forkscope::python {

/// Line of the instruction `offset` bytes into the code, 0 when the table gives it none. A
/// negative offset is a frame that has run nothing yet: it stands on the first line.
int line_at(LineTableForm form, std::span<const std::byte> table, int first_line,
            std::int64_t offset);

}  // namespace forkscope::python
