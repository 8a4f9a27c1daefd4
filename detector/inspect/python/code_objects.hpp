// Code objects of another process: what they are called, and the line of each instruction.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "detector/inspect/python/interpreter_layout.hpp"
#include "detector/inspect/python/objects.hpp"

namespace forkscope::python {

struct Code {
  std::string function, file;
  int first_line = 0;
  std::uint64_t instructions = 0;  ///< address of the code that is run, since 3.11
  std::vector<std::byte> lines;    ///< the table for line_at()
  std::vector<std::string> names;  ///< globals and attributes that it uses, the first so many
};

class CodeObjects {
 public:
  CodeObjects(ProcessMemory& memory, const InterpreterLayout& layout, Objects& objects)
      : memory_(memory), layout_(layout), objects_(objects) {}

  /// Null: there is no code object. Valid until the next call.
  const Code* find(std::uint64_t address);

 private:
  /// What makes it worth reading again: another code object may be there by now.
  struct Identity {
    std::uint64_t type = 0, function = 0, file = 0, lines = 0, names = 0;
    std::int32_t first_line = 0;
    bool operator==(const Identity&) const = default;
  };
  std::optional<Identity> identity(std::uint64_t address);
  std::vector<std::string> texts(std::uint64_t tuple);
  std::optional<Code> read(std::uint64_t address, const Identity& identity);

  struct Known {
    Identity identity;
    Code code;
  };
  ProcessMemory& memory_;
  const InterpreterLayout& layout_;
  Objects& objects_;
  std::unordered_map<std::uint64_t, Known> known_;
  std::size_t held_ = 0;  ///< bytes in `known_`
};

}  // namespace forkscope::python
