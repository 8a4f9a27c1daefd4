// Python objects in another process: strings, bytes, and whether an address is an object of the
// type it should be. Every object is checked before it is believed: its type by name, its length
// by a bound. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/python/interpreter_layout.hpp"

namespace forkscope::python {

enum class ObjectType { kCode, kText, kBytes, kFrame, kTuple, kLock, kRLock };
constexpr std::size_t kObjectTypes = 7;

/// Characters of `width` bytes (1, 2 or 4: Latin-1, UCS-2, UCS-4) as UTF-8. What no character has
/// (half of a surrogate pair, beyond Unicode) becomes U+FFFD: a name that is not UTF-8 in the
/// file system is kept that way by Python, and a report has to be valid UTF-8.
std::string utf8(std::span<const std::byte> characters, unsigned width);

class Objects {
 public:
  Objects(ProcessMemory& memory, const InterpreterLayout& layout)
      : memory_(memory), layout_(layout) {}

  /// `type` is what the object at some address says its type is.
  bool is(std::uint64_t type, ObjectType wanted);
  bool object_is(std::uint64_t object, ObjectType wanted);

  /// At most 4096 characters of a str. Nothing: it is not one.
  std::optional<std::string> text(std::uint64_t object);
  std::optional<std::vector<std::byte>> bytes(std::uint64_t object);
  /// The first 1024 objects of a tuple. Empty: it is not one.
  std::vector<std::uint64_t> items(std::uint64_t object);
  /// The address of the word that is waited for of a threading.Lock or RLock that `value` leads to:
  /// the lock itself, a cell of a closure that has it, or its bound method. Values may be tagged.
  std::optional<std::uint64_t> lock_word(std::uint64_t value);

 private:
  std::optional<std::uint64_t> word_of_lock(std::uint64_t object);

  ProcessMemory& memory_;
  const InterpreterLayout& layout_;
  std::array<std::uint64_t, kObjectTypes> types_{};  ///< by ObjectType, 0: none met yet
};

}  // namespace forkscope::python
