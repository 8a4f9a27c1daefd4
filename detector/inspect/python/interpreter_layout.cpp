#include "detector/inspect/python/interpreter_layout.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>

namespace forkscope::python {
namespace {

constexpr std::uint32_t kNone = InterpreterLayout::kNone;

std::size_t end_of(std::initializer_list<std::uint32_t> offsets) {
  std::size_t end = 0;
  for (const std::uint32_t offset : offsets) {
    if (offset != kNone) end = std::max<std::size_t>(end, offset + sizeof(std::uint64_t));
  }
  return end;
}

// From the headers of each version: Include/internal/pycore_runtime.h, pycore_interp.h,
// pycore_frame.h, Include/cpython/pystate.h, code.h, frameobject.h, unicodeobject.h.

constexpr InterpreterLayout python39() {
  InterpreterLayout at;
  at.minor = 9;
  at.instruction_form = InstructionForm::kByteIndex;
  at.line_table_form = LineTableForm::kIncrements;
  at.runtime_interpreters = 32;
  at.interpreter_next = 0, at.interpreter_threads = 8;
  at.thread_next = 8, at.thread_interpreter = 16, at.thread_frame = 24, at.thread_pthread = 176;
  at.frame_previous = 24, at.frame_code = 32, at.frame_instruction = 104;
  at.frame_type_size = 368;
  at.code_file = 104, at.code_name = 112, at.code_first_line = 40, at.code_line_table = 120;
  at.code_names = 64;
  at.text_ascii = 48, at.text_compact = 72;
  return at;
}

constexpr InterpreterLayout python310() {
  InterpreterLayout at = python39();
  at.minor = 10;
  at.instruction_form = InstructionForm::kUnitIndex;
  at.line_table_form = LineTableForm::kRanges;
  at.frame_instruction = 96;
  at.frame_type_size = 360;
  return at;
}

constexpr InterpreterLayout python311() {
  InterpreterLayout at;
  at.minor = 11;
  at.runtime_interpreters = 40;
  at.interpreter_next = 0, at.interpreter_threads = 16;
  at.thread_next = 8, at.thread_interpreter = 16, at.thread_frame = 56, at.cframe_frame = 8;
  at.thread_pthread = 152, at.thread_native = 160;
  at.frame_code = 32, at.frame_previous = 48, at.frame_instruction = 56, at.frame_owner = 69;
  at.code_first_line = 72, at.code_file = 112, at.code_name = 120, at.code_qualname = 128;
  at.code_names = 32;
  at.code_line_table = 136, at.code_instructions = 184;
  at.text_ascii = 48, at.text_compact = 72;
  return at;
}

constexpr InterpreterLayout python312() {
  InterpreterLayout at = python311();
  at.minor = 12;
  at.interpreter_threads = 72;
  at.cframe_frame = 0;
  at.thread_pthread = 136, at.thread_native = 144;
  at.frame_code = 0, at.frame_previous = 8, at.frame_owner = 70;
  at.first_shim_owner = 3;  // FRAME_OWNED_BY_CSTACK
  at.code_first_line = 68, at.code_instructions = 192;
  at.text_ascii = 40, at.text_compact = 56;
  return at;
}

constexpr std::array kKnown{python39(), python310(), python311(), python312()};

/// The table of 3.13 and later: 64-bit numbers after a cookie, a group for each structure. The
/// groups and the order in each differ between versions, so each has its list of positions.
struct Positions {
  std::size_t count;  ///< of numbers to be had
  std::size_t runtime_interpreters, interpreter_next, interpreter_threads;
  std::size_t thread_next, thread_interpreter, thread_frame, thread_pthread, thread_native;
  std::size_t frame_previous, frame_code, frame_instruction, frame_owner;
  std::size_t code_file, code_name, code_qualname, code_line_table, code_first_line,
      code_instructions;
  std::size_t object_type, type_name;
  std::size_t bytes_size, bytes_data, text_state, text_length, text_ascii;
  std::size_t tuple_size, tuple_items;
};
constexpr std::size_t kVersionAt = 1, kFreeThreadedAt = 2;
constexpr char kCookie[8] = {'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'};

// Groups, by the position of their first number (the size of the structure):
// 3.13: runtime 3, interpreter 6, thread 19, frame 28, code 34, object 44, type 46, tuple 50,
//       list 53, dict 56, float 59, long 61, bytes 64, str 67.
// Groups, by the position of their first number (the size of the structure): runtime 3,
// interpreter 6, thread 19, frame 28, code 34, object 44, type 46, tuple 50, list 53, dict 56,
// float 59, long 61, bytes 64, str 67.
constexpr Positions kPositions313 = {
    .count = 71,
    .runtime_interpreters = 5,
    .interpreter_next = 8,
    .interpreter_threads = 9,
    .thread_next = 21,
    .thread_interpreter = 22,
    .thread_frame = 23,
    .thread_pthread = 24,
    .thread_native = 25,
    .frame_previous = 29,
    .frame_code = 30,
    .frame_instruction = 31,
    .frame_owner = 33,
    .code_file = 35,
    .code_name = 36,
    .code_qualname = 37,
    .code_line_table = 38,
    .code_first_line = 39,
    .code_instructions = 43,
    .object_type = 45,
    .type_name = 47,
    .bytes_size = 65,
    .bytes_data = 66,
    .text_state = 68,
    .text_length = 69,
    .text_ascii = 70,
    .tuple_size = 51,
    .tuple_items = 52,
};
// runtime 3, interpreter 6, thread 22, frame 31, code 39, object 50, type 52, tuple 56, list 59,
// set 62, dict 66, float 69, long 71, bytes 74, str 77.
constexpr Positions kPositions314 = {
    .count = 81,
    .runtime_interpreters = 5,
    .interpreter_next = 8,
    .interpreter_threads = 9,
    .thread_next = 24,
    .thread_interpreter = 25,
    .thread_frame = 26,
    .thread_pthread = 27,
    .thread_native = 28,
    .frame_previous = 32,
    .frame_code = 33,
    .frame_instruction = 34,
    .frame_owner = 36,
    .code_file = 40,
    .code_name = 41,
    .code_qualname = 42,
    .code_line_table = 43,
    .code_first_line = 44,
    .code_instructions = 48,
    .object_type = 51,
    .type_name = 53,
    .bytes_size = 75,
    .bytes_data = 76,
    .text_state = 78,
    .text_length = 79,
    .text_ascii = 80,
    .tuple_size = 57,
    .tuple_items = 58,
};

}  // namespace

std::size_t InterpreterLayout::thread_span() const {
  return end_of({thread_next, thread_interpreter, thread_frame, thread_pthread, thread_native});
}
std::size_t InterpreterLayout::frame_span() const {
  // The owner is a byte, and may be the last of the structure.
  return std::max<std::size_t>(end_of({object_type, frame_code, frame_previous, frame_instruction}),
                               frame_owner == kNone ? 0 : frame_owner + 1);
}
std::size_t InterpreterLayout::code_span() const {
  return end_of(
      {object_type, code_file, code_name, code_qualname, code_line_table, code_names});
}

const InterpreterLayout* known_layout(int minor) {
  for (const InterpreterLayout& layout : kKnown) {
    if (layout.minor == minor) return &layout;
  }
  return nullptr;
}

std::optional<SelfDescription> describe(std::span<const std::byte> runtime) {
  if (runtime.size() < 3 * sizeof(std::uint64_t) ||
      std::memcmp(runtime.data(), kCookie, sizeof kCookie) != 0) {
    return std::nullopt;
  }
  const std::size_t count = runtime.size() / sizeof(std::uint64_t);
  const auto number = [&](std::size_t position) {
    std::uint64_t value = UINT64_MAX;
    if (position < count) {
      std::memcpy(&value, runtime.data() + position * sizeof value, sizeof value);
    }
    return value;
  };
  SelfDescription result;
  result.version = std::uint32_t(number(kVersionAt));
  result.free_threaded = number(kFreeThreadedAt) != 0;
  const int minor = minor_of(result.version);
  // A free-threaded build runs copies of the code, one for each thread: another way to its lines.
  if ((minor != 13 && minor != 14) || result.free_threaded) return result;

  const Positions& at = minor == 13 ? kPositions313 : kPositions314;
  InterpreterLayout layout;
  bool sane = count >= at.count;
  const auto take = [&](std::uint32_t& field, std::size_t position, std::uint64_t most) {
    const std::uint64_t offset = number(position);
    sane = sane && offset <= most;
    field = std::uint32_t(offset);
  };
  constexpr std::uint64_t kRuntime = 16 << 20, kState = 64 << 10, kObject = 1 << 10;
  layout.minor = minor;
  take(layout.runtime_interpreters, at.runtime_interpreters, kRuntime);
  take(layout.interpreter_next, at.interpreter_next, kRuntime);
  take(layout.interpreter_threads, at.interpreter_threads, kRuntime);
  take(layout.thread_next, at.thread_next, kState);
  take(layout.thread_interpreter, at.thread_interpreter, kState);
  take(layout.thread_frame, at.thread_frame, kState);
  take(layout.thread_pthread, at.thread_pthread, kState);
  take(layout.thread_native, at.thread_native, kState);
  take(layout.frame_previous, at.frame_previous, kObject);
  take(layout.frame_code, at.frame_code, kObject);
  take(layout.frame_instruction, at.frame_instruction, kObject);
  take(layout.frame_owner, at.frame_owner, kObject);
  take(layout.code_file, at.code_file, kObject);
  take(layout.code_name, at.code_name, kObject);
  take(layout.code_qualname, at.code_qualname, kObject);
  take(layout.code_line_table, at.code_line_table, kObject);
  take(layout.code_first_line, at.code_first_line, kObject);
  take(layout.code_instructions, at.code_instructions, kObject);
  take(layout.object_type, at.object_type, kObject);
  take(layout.type_name, at.type_name, kObject);
  take(layout.bytes_size, at.bytes_size, kObject);
  take(layout.bytes_data, at.bytes_data, kObject);
  take(layout.text_state, at.text_state, kObject);
  take(layout.text_length, at.text_length, kObject);
  take(layout.text_ascii, at.text_ascii, kObject);
  layout.code_names = 32;  // the table leaves it out; as in 3.11, after co_consts
  take(layout.tuple_size, at.tuple_size, kObject);
  take(layout.tuple_items, at.tuple_items, kObject);
  // PyCompactUnicodeObject adds the length of the UTF-8 form and a pointer to it.
  layout.text_compact = layout.text_ascii + 16;
  // FRAME_OWNED_BY_CSTACK of 3.13; FRAME_OWNED_BY_INTERPRETER of 3.14, its CSTACK is 4.
  layout.first_shim_owner = 3;
  if (minor == 14) layout.code_tag = 3;  // Py_TAG_BITS of a _PyStackRef
  if (sane) result.layout = layout;
  return result;
}

int minor_of(std::uint32_t hex) { return hex >> 24 == 3 ? int(hex >> 16 & 0xff) : -1; }

std::string version_text(std::uint32_t hex) {
  std::string text = std::to_string(hex >> 24) + '.' + std::to_string(hex >> 16 & 0xff) + '.' +
                     std::to_string(hex >> 8 & 0xff);
  const unsigned level = hex >> 4 & 0xf;  // 0xa alpha, 0xb beta, 0xc release candidate, 0xf final
  const char* const name = level == 0xa ? "a" : level == 0xb ? "b" : level == 0xc ? "rc" : "";
  if (*name != 0) text += name + std::to_string(hex & 0xf);
  return text;
}

}  // namespace forkscope::python
