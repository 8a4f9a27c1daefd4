#include "detector/inspect/python/python_reader.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "detector/inspect/python/code_objects.hpp"
#include "detector/inspect/python/field.hpp"
#include "detector/inspect/python/find_runtime.hpp"
#include "detector/inspect/python/interpreter_layout.hpp"
#include "detector/inspect/python/line_table.hpp"
#include "detector/inspect/python/objects.hpp"
#include "detector/inspect/python/page_cache.hpp"
#include "detector/inspect/python/thread_states.hpp"

namespace forkscope {
namespace {

using namespace python;

constexpr std::size_t kMostFrames = 1024;  // the recursion limit is 1000 unless it was changed
constexpr std::size_t kFramesWithLocks = 8;  // innermost, whose variables are looked at
constexpr std::size_t kFrameWords = 96;      // of a frame, with its variables and its stack
constexpr std::size_t kMostSteps = 4 * kMostFrames;  // of one look, with what is no Python code

class Reader final : public PythonReader {
 public:
  Reader(ProcessMemory& memory, const InterpreterLayout& layout, std::uint64_t runtime,
         std::string version, const std::vector<Mapping>& mappings)
      : memory_(memory),
        layout_(layout),
        version_(std::move(version)),
        threads_(memory_, layout_, runtime, mappings),
        objects_(memory_, layout_),
        codes_(memory_, layout_, objects_) {}

  /// Whether this layout makes sense of what is there.
  bool fits();

  std::vector<PythonFrame> frames(std::int32_t own_tid, std::uint64_t sp) override;
  std::string version() const override { return version_; }

 private:
  std::uint64_t innermost(const ThreadState& thread);
  /// Adds the frame unless it runs no Python code. Nothing: there is no frame at this address.
  std::optional<std::uint64_t> read_frame(std::uint64_t address, std::vector<PythonFrame>& out);
  /// What the frame's variables and its stack lead to. Those of what it called may be among them.
  std::vector<std::uint64_t> locks_of(std::uint64_t frame);
  void walk(const ThreadState& thread, std::vector<PythonFrame>& out, std::size_t& steps);
  std::int64_t offset_in_code(const Code& code, std::span<const std::byte> frame) const;

  PageCache memory_;
  const InterpreterLayout layout_;
  std::string version_;
  ThreadStates threads_;
  Objects objects_;
  CodeObjects codes_;
};

bool forks(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "fork" || name == "forkpty";
  });
}

bool Reader::fits() {
  memory_.forget();
  if (!threads_.refresh()) return false;
  // One frame that can be read says more than the lists. A thread may be between two just now, or
  // run no Python code at all.
  bool any = false;
  std::size_t steps = 0;
  for (const ThreadState& thread : threads_.all()) {
    std::vector<PythonFrame> out;
    if (innermost(thread) == 0) continue;
    any = true;
    walk(thread, out, steps);
    if (!out.empty()) return true;
  }
  return !any;
}

std::uint64_t Reader::innermost(const ThreadState& thread) {
  if (layout_.cframe_frame == InterpreterLayout::kNone || thread.frame == 0) return thread.frame;
  return memory_.get<std::uint64_t>(thread.frame + layout_.cframe_frame).value_or(0);
}

std::int64_t Reader::offset_in_code(const Code& code, std::span<const std::byte> frame) const {
  switch (layout_.instruction_form) {
    case InstructionForm::kByteIndex:
      return field<std::int32_t>(frame, layout_.frame_instruction);
    case InstructionForm::kUnitIndex:
      return std::int64_t(field<std::int32_t>(frame, layout_.frame_instruction)) * 2;
    case InstructionForm::kPointer:
      break;
  }
  const auto at = field<std::uint64_t>(frame, layout_.frame_instruction);
  return std::int64_t(at - code.instructions);
}

std::optional<std::uint64_t> Reader::read_frame(std::uint64_t address,
                                                std::vector<PythonFrame>& out) {
  if (address < 4096 || address % 8 != 0) return std::nullopt;
  const std::vector<std::byte> bytes = read_span(memory_, address, layout_.frame_span());
  if (bytes.empty()) return std::nullopt;
  const auto previous = field<std::uint64_t>(bytes, layout_.frame_previous);
  if (layout_.frame_owner == InterpreterLayout::kNone) {
    if (!objects_.is(field<std::uint64_t>(bytes, layout_.object_type), ObjectType::kFrame)) {
      return std::nullopt;
    }
  } else if (field<std::uint8_t>(bytes, layout_.frame_owner) >= layout_.first_shim_owner) {
    return previous;  // between C code and the Python code it called
  }
  const auto code_address = field<std::uint64_t>(bytes, layout_.frame_code) & ~layout_.code_tag;
  const Code* const code = codes_.find(code_address);
  if (code == nullptr) return std::nullopt;
  const std::int64_t offset = offset_in_code(*code, bytes);
  out.push_back({code->function, code->file,
                 line_at(layout_.line_table_form, code->lines, code->first_line, offset),
                 forks(code->names), code->names});
  if (out.size() <= kFramesWithLocks) out.back().locks = locks_of(address);
  return previous;
}

std::vector<std::uint64_t> Reader::locks_of(std::uint64_t frame) {
  std::vector<std::uint64_t> locks;
  for (std::size_t i = 0; i < kFrameWords; ++i) {
    const auto value = memory_.get<std::uint64_t>(frame + 8 * i);
    if (!value) break;
    const auto word = objects_.lock_word(*value);
    if (word && std::find(locks.begin(), locks.end(), *word) == locks.end()) locks.push_back(*word);
  }
  return locks;
}

void Reader::walk(const ThreadState& thread, std::vector<PythonFrame>& out, std::size_t& steps) {
  std::optional<std::uint64_t> at = innermost(thread);
  while (at && *at != 0 && out.size() < kMostFrames && steps++ < kMostSteps) {
    at = read_frame(*at, out);
  }
}

std::vector<PythonFrame> Reader::frames(std::int32_t own_tid, std::uint64_t sp) {
  memory_.forget();
  std::vector<PythonFrame> out;
  std::size_t steps = 0;
  for (const ThreadState& thread : threads_.of(own_tid, sp)) walk(thread, out, steps);
  return out;
}

/// A layout that may be the process's, and what its version is called.
struct Candidate {
  InterpreterLayout layout;
  std::string version;
};

/// Those worth trying, likeliest first; none: `why_not` says it.
std::vector<Candidate> candidates(ProcessMemory& memory, const Runtime& runtime,
                                  const std::vector<Mapping>& mappings, std::string& why_not) {
  std::vector<std::byte> start(kDescriptionSize);
  if (!memory.read(runtime.address, start)) {
    why_not = "the state of its Python interpreter cannot be read";
    return {};
  }
  if (const std::optional<SelfDescription> said = describe(start)) {
    const std::string version = version_text(said->version);
    if (said->layout) return {{*said->layout, version}};
    why_not = "CPython " + version + (said->free_threaded ? " (free-threaded)" : "") +
              " is not known to forkscope";
    return {};
  }
  if (runtime.version != 0) {
    const std::string version = version_text(runtime.version);
    if (const auto* layout = known_layout(minor_of(runtime.version))) return {{*layout, version}};
    why_not = "CPython " + version + " is not known to forkscope";
    return {};
  }
  std::vector<Candidate> found;
  for (const int minor : likely_versions(runtime, mappings)) {
    if (const auto* layout = known_layout(minor)) {
      found.push_back({*layout, "3." + std::to_string(minor)});
    }
  }
  if (found.empty()) why_not = "its CPython (" + runtime.module + ") is not known to forkscope";
  return found;
}

}  // namespace

std::unique_ptr<PythonReader> PythonReader::open(ProcessMemory& memory,
                                                 const std::vector<ModuleRecord>& modules,
                                                 const std::vector<Mapping>& mappings,
                                                 std::string* why_not) {
  std::string why;
  std::unique_ptr<PythonReader> result;
  if (const std::optional<Runtime> runtime = find_runtime(memory, modules)) {
    const std::vector<Candidate> found = candidates(memory, *runtime, mappings, why);
    // Threads that run Python code may change everything just then: not twice, let alone thrice.
    for (int tries = 0; tries < 3 && !result; ++tries) {
      for (const Candidate& candidate : found) {
        auto reader = std::make_unique<Reader>(memory, candidate.layout, runtime->address,
                                               candidate.version, mappings);
        if (!reader->fits()) continue;
        result = std::move(reader);
        break;
      }
    }
    if (!result && !found.empty()) {
      why = "its CPython has not started, or does not keep its frames as CPython " +
            found.front().version + " does";
    }
  }
  if (why_not != nullptr) *why_not = result ? std::string() : why;
  return result;
}

}  // namespace forkscope
