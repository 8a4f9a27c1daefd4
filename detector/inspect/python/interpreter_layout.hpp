// Where CPython keeps what a traceback needs, version by version: offsets into its structures.
//
// From 3.13 on the interpreter says so itself: _PyRuntime starts with a table of offsets made for
// readers like this one. For 3.9 to 3.12 the offsets are here; they are the same on every 64-bit
// architecture and in every micro release, and whoever uses them checks what they lead to, since
// a table may be wrong for a build that was changed. Thread-safe: constants and pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace forkscope::python {

/// How a frame says which instruction it is at.
enum class InstructionForm {
  kByteIndex,  ///< 3.9: bytes from the start of the code
  kUnitIndex,  ///< 3.10: code units, of two bytes
  kPointer,    ///< since 3.11: address in the copy of the code that is run
};

/// How a code object maps instructions to lines.
enum class LineTableForm {
  kIncrements,  ///< co_lnotab, 3.9
  kRanges,      ///< co_linetable, 3.10 (PEP 626)
  kLocations,   ///< co_linetable with columns, since 3.11 (PEP 657)
};

/// Offsets in bytes. What a version does not have is kNone.
struct InterpreterLayout {
  static constexpr std::uint32_t kNone = UINT32_MAX;

  int minor = 0;  ///< 3.minor
  InstructionForm instruction_form = InstructionForm::kPointer;
  LineTableForm line_table_form = LineTableForm::kLocations;

  std::uint32_t runtime_interpreters = 0;  ///< _PyRuntimeState.interpreters.head
  std::uint32_t interpreter_next = 0, interpreter_threads = 0;
  std::uint32_t thread_next = 0, thread_interpreter = 0;
  std::uint32_t thread_pthread = 0;     ///< pthread_t
  std::uint32_t thread_native = kNone;  ///< thread ID of the kernel, 3.11
  std::uint32_t thread_frame = 0;       ///< the frame, or what `cframe_frame` is an offset in
  std::uint32_t cframe_frame = kNone;   ///< 3.11 and 3.12 have a _PyCFrame between the two

  std::uint32_t frame_code = 0, frame_previous = 0, frame_instruction = 0;
  std::uint32_t frame_owner = kNone;      ///< a byte, 3.11
  std::uint8_t first_shim_owner = 0xff;   ///< frames with this owner or above run no Python code
  std::uint32_t frame_type_size = kNone;  ///< tp_basicsize of frame objects: tells 3.9 from 3.10
  std::uint64_t code_tag = 0;             ///< bits of `frame_code` that are no part of the pointer

  std::uint32_t code_names = 0;  ///< a tuple: the names of globals and attributes it uses
  std::uint32_t code_file = 0, code_name = 0, code_qualname = kNone, code_first_line = 0,
                code_line_table = 0;
  std::uint32_t code_instructions = kNone;  ///< what kPointer points into

  std::uint32_t object_type = 8, type_name = 24, type_basic_size = 32;
  std::uint32_t bytes_size = 16, bytes_data = 32;
  std::uint32_t tuple_size = 16, tuple_items = 24;
  std::uint32_t text_length = 16, text_state = 32;
  std::uint32_t text_ascii = 0;    ///< where the characters of an ASCII string start
  std::uint32_t text_compact = 0;  ///< of any other

  /// Bytes to read of a thread state, a frame and a code object to have all of the above.
  std::size_t thread_span() const, frame_span() const, code_span() const;
};

/// The layout of 3.9, 3.10, 3.11, 3.12; null for others.
const InterpreterLayout* known_layout(int minor);

/// What the start of _PyRuntime says, since 3.13.
struct SelfDescription {
  std::uint32_t version = 0;  ///< PY_VERSION_HEX
  bool free_threaded = false;
  /// Nothing: of a version that is not known, or not to be believed.
  std::optional<InterpreterLayout> layout;
};
/// Bytes of _PyRuntime that describe() wants; fewer are given when no more can be read.
constexpr std::size_t kDescriptionSize = 1024;
/// Nothing: it does not describe itself.
std::optional<SelfDescription> describe(std::span<const std::byte> runtime);

/// The 11 of 3.11, of PY_VERSION_HEX; -1 when it is not Python 3.
int minor_of(std::uint32_t hex);
/// "3.11.2" of PY_VERSION_HEX.
std::string version_text(std::uint32_t hex);

}  // namespace forkscope::python
