#include "detector/inspect/python/objects.hpp"

#include <algorithm>
#include <cstring>

namespace forkscope::python {
namespace {

constexpr std::uint64_t kMostCharacters = 4096;   // more than a path has
constexpr std::uint64_t kLongestText = 64 << 20;  // no name is that long: not a str
constexpr std::uint64_t kLongestTable = 4 << 20;  // of lines: some 100,000 lines of code
constexpr std::uint64_t kMostItems = 1024;
constexpr std::uint32_t kReplacement = 0xfffd;

const char* name_of(ObjectType type) {
  switch (type) {
    case ObjectType::kCode:
      return "code";
    case ObjectType::kText:
      return "str";
    case ObjectType::kBytes:
      return "bytes";
    case ObjectType::kFrame:
      return "frame";
    case ObjectType::kTuple:
      return "tuple";
    case ObjectType::kLock:
      return "_thread.lock";
    case ObjectType::kRLock:
      return "_thread.RLock";
  }
  return "";
}

/// Where an object can be: aligned as every allocator does, and not in the first page.
bool plausible(std::uint64_t object) { return object >= 4096 && object % 8 == 0; }

void append_utf8(std::string& out, std::uint32_t character) {
  if ((character >= 0xd800 && character <= 0xdfff) || character > 0x10ffff) {
    character = kReplacement;
  }
  if (character < 0x80) {
    out += char(character);
  } else if (character < 0x800) {
    out += char(0xc0 | character >> 6);
    out += char(0x80 | (character & 0x3f));
  } else if (character < 0x10000) {
    out += char(0xe0 | character >> 12);
    out += char(0x80 | (character >> 6 & 0x3f));
    out += char(0x80 | (character & 0x3f));
  } else {
    out += char(0xf0 | character >> 18);
    out += char(0x80 | (character >> 12 & 0x3f));
    out += char(0x80 | (character >> 6 & 0x3f));
    out += char(0x80 | (character & 0x3f));
  }
}

/// Where these keep an object (Objects/cellobject.c, methodobject.h, classobject.h).
constexpr std::uint64_t kInCell = 16, kInMethod = 24;
/// PyThread_type_lock of a lock (Modules/_threadmodule.c); a PyMutex itself since 3.14.
constexpr std::uint64_t kInLock = 16;
constexpr int kFirstWithMutex = 14;

}  // namespace

std::string utf8(std::span<const std::byte> characters, unsigned width) {
  std::string out;
  if (width != 1 && width != 2 && width != 4) return out;
  out.reserve(characters.size());
  for (std::size_t i = 0; i + width <= characters.size(); i += width) {
    std::uint32_t character = 0;
    std::uint16_t two = 0;
    switch (width) {
      case 1:
        character = std::to_integer<std::uint8_t>(characters[i]);
        break;
      case 2:
        std::memcpy(&two, &characters[i], sizeof two);
        character = two;
        break;
      default:
        std::memcpy(&character, &characters[i], sizeof character);
    }
    append_utf8(out, character);
  }
  return out;
}

bool Objects::is(std::uint64_t type, ObjectType wanted) {
  std::uint64_t& known = types_[std::size_t(wanted)];
  if (known != 0) return type == known;
  if (!plausible(type)) return false;
  const auto name = memory_.get<std::uint64_t>(type + layout_.type_name);
  if (!name || memory_.text(*name, 16) != name_of(wanted)) return false;
  if (wanted == ObjectType::kFrame && layout_.frame_type_size != InterpreterLayout::kNone &&
      memory_.get<std::uint64_t>(type + layout_.type_basic_size) != layout_.frame_type_size) {
    return false;
  }
  known = type;
  return true;
}

bool Objects::object_is(std::uint64_t object, ObjectType wanted) {
  if (!plausible(object)) return false;
  const auto type = memory_.get<std::uint64_t>(object + layout_.object_type);
  return type && is(*type, wanted);
}

std::optional<std::string> Objects::text(std::uint64_t object) {
  if (!object_is(object, ObjectType::kText)) return std::nullopt;
  const auto length = memory_.get<std::uint64_t>(object + layout_.text_length);
  const auto state = memory_.get<std::uint32_t>(object + layout_.text_state);
  if (!length || !state || *length > kLongestText) return std::nullopt;
  // Include/cpython/unicodeobject.h: interned 2 bits, kind 3, compact, ascii.
  const unsigned width = *state >> 2 & 7;
  const bool compact = (*state >> 5 & 1) != 0, ascii = (*state >> 6 & 1) != 0;
  if (!compact || (width != 1 && width != 2 && width != 4) || (ascii && width != 1)) {
    return std::nullopt;
  }
  std::vector<std::byte> characters(std::min(*length, kMostCharacters) * width);
  const std::uint64_t start = object + (ascii ? layout_.text_ascii : layout_.text_compact);
  if (!characters.empty() && !memory_.read(start, characters)) return std::nullopt;
  return utf8(characters, width);
}

std::optional<std::vector<std::byte>> Objects::bytes(std::uint64_t object) {
  if (!object_is(object, ObjectType::kBytes)) return std::nullopt;
  const auto size = memory_.get<std::uint64_t>(object + layout_.bytes_size);
  if (!size || *size > kLongestTable) return std::nullopt;
  std::vector<std::byte> result(*size);
  if (!result.empty() && !memory_.read(object + layout_.bytes_data, result)) return std::nullopt;
  return result;
}

std::vector<std::uint64_t> Objects::items(std::uint64_t object) {
  if (!object_is(object, ObjectType::kTuple)) return {};
  const auto size = memory_.get<std::uint64_t>(object + layout_.tuple_size);
  if (!size || *size > kLongestTable) return {};
  std::vector<std::uint64_t> result(std::min(*size, kMostItems));
  if (!memory_.read(object + layout_.tuple_items, std::as_writable_bytes(std::span(result)))) {
    result.clear();
  }
  return result;
}

std::optional<std::uint64_t> Objects::word_of_lock(std::uint64_t object) {
  if (!object_is(object, ObjectType::kLock) && !object_is(object, ObjectType::kRLock))
    return std::nullopt;
  if (layout_.minor >= kFirstWithMutex) return object + kInLock;
  return memory_.get<std::uint64_t>(object + kInLock);
}

std::optional<std::uint64_t> Objects::lock_word(std::uint64_t value) {
  const std::uint64_t object = value & ~std::uint64_t{7};
  if (!plausible(object)) return std::nullopt;
  if (auto word = word_of_lock(object)) return word;
  for (const std::uint64_t offset : {kInCell, kInMethod}) {
    const auto inner = memory_.get<std::uint64_t>(object + offset);
    if (!inner) return std::nullopt;
    if (auto word = word_of_lock(*inner)) return word;
  }
  return std::nullopt;
}

}  // namespace forkscope::python
