// The memory of a process with a CPython interpreter in it, made by hand: one loaded file that
// exports _PyRuntime, interpreters, threads, frames, code objects. For every layout the reader
// knows.
#pragma once

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/python/interpreter_layout.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope::test {

/// One stretch of readable memory.
class StretchMemory final : public ProcessMemory {
 public:
  static constexpr std::uint64_t kBase = 0x10000000;

  explicit StretchMemory(std::size_t size) : bytes(size) {}
  bool read(std::uint64_t address, std::span<std::byte> out) override {
    if (address < kBase || address - kBase > bytes.size() ||
        out.size() > bytes.size() - (address - kBase)) {
      return false;
    }
    std::memcpy(out.data(), bytes.data() + (address - kBase), out.size());
    return true;
  }
  template <class T>
  void put(std::uint64_t address, const T& value) {
    std::memcpy(bytes.data() + (address - kBase), &value, sizeof value);
  }

  std::vector<std::byte> bytes;
};

class PythonProcess {
 public:
  using Address = std::uint64_t;
  using Layout = python::InterpreterLayout;
  static constexpr std::uint32_t kNone = Layout::kNone;

  /// `description`: what _PyRuntime starts with. `version` is exported as Py_Version unless 0.
  explicit PythonProcess(const Layout& layout, std::uint32_t version = 0,
                         const std::vector<std::uint64_t>& description = {})
      : layout_(layout) {
    runtime_ = take(4096);
    constexpr char kCookie[] = "xdebugpy";
    if (!description.empty()) std::memcpy(&memory_.bytes[at(runtime_)], kCookie, 8);
    for (std::size_t i = 0; i < description.size(); ++i) {
      memory_.put(runtime_ + 8 * (i + 1), description[i]);
    }
    version_ = take(8);
    memory_.put<std::uint64_t>(version_, version);
    make_module(version != 0);
    type_type_ = type("type", 0);
    code_type_ = type("code", 0);
    text_type_ = type("str", 0);
    bytes_type_ = type("bytes", 0);
    frame_type_ = type("frame", layout.frame_type_size);
    interpreter_ = interpreter();
  }

  /// Characters of the narrowest width that has room for all.
  Address text(std::u32string_view characters) {
    char32_t widest = 0;
    for (const char32_t c : characters) widest = std::max(widest, c);
    const unsigned width = widest < 0x100 ? 1 : widest < 0x10000 ? 2 : 4;
    const bool ascii = widest < 0x80;
    const Address object = take(layout_.text_compact + characters.size() * width);
    memory_.put(object + layout_.object_type, text_type_);
    memory_.put<std::uint64_t>(object + layout_.text_length, characters.size());
    memory_.put<std::uint32_t>(object + layout_.text_state,
                               width << 2 | 1 << 5 | (ascii ? 1u << 6 : 0));
    Address to = object + (ascii ? layout_.text_ascii : layout_.text_compact);
    for (const char32_t c : characters) {
      std::memcpy(&memory_.bytes[at(to)], &c, width);  // little endian
      to += width;
    }
    return object;
  }

  /// Every instruction on `line`.
  Address code(std::u32string_view function, std::u32string_view file, int line) {
    const Address object = take(512);
    memory_.put(object + layout_.object_type, code_type_);
    memory_.put(object + layout_.code_file, text(file));
    // A layout with a qualified name must take that.
    memory_.put(object + layout_.code_name, text(function));
    if (layout_.code_qualname != kNone) {
      memory_.put(object + layout_.code_qualname, text(std::u32string(U"of.") += function));
    }
    memory_.put<std::int32_t>(object + layout_.code_first_line, line);
    std::string table;
    switch (layout_.line_table_form) {
      case python::LineTableForm::kIncrements:
        break;
      case python::LineTableForm::kRanges:
        table = {'\x40', '\0'};
        break;
      case python::LineTableForm::kLocations:
        table = {'\xef', '\0'};
        break;  // 8 units, line + 0
    }
    memory_.put(object + layout_.code_line_table, byte_string(table));
    return object;
  }

  struct Frame {
    Address code;
    bool shim = false;
  };
  /// Innermost first; the address of the first.
  Address frames(const std::vector<Frame>& stack) {
    Address previous = 0;
    for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame) {
      const Address object = take(layout_.frame_span() + 8);
      if (layout_.frame_owner == kNone) {
        memory_.put(object + layout_.object_type, frame_type_);
      } else {
        memory_.put<std::uint8_t>(object + layout_.frame_owner,
                                  frame->shim ? layout_.first_shim_owner : 0);
      }
      memory_.put(object + layout_.frame_code, frame->code | (layout_.code_tag & 1));
      memory_.put(object + layout_.frame_previous, previous);
      if (layout_.instruction_form == python::InstructionForm::kPointer) {
        memory_.put(object + layout_.frame_instruction,
                    frame->code + layout_.code_instructions + 4);
      } else {
        memory_.put<std::int32_t>(object + layout_.frame_instruction, 2);
      }
      previous = object;
    }
    return previous;
  }

  /// A descriptor as glibc has at the top of a stack, `tid` 0 when the thread is gone.
  Address pthread(std::int32_t tid) {
    const Address object = take(1024);
    constexpr std::uint64_t kRing = 704;
    memory_.put(object + kRing, object + kRing);
    memory_.put(object + kRing + 8, object + kRing);
    memory_.put(object + kRing + 16, tid);
    return object;
  }

  Address thread(Address of_pthread, std::int32_t native, Address frame) {
    const Address object = take(layout_.thread_span());
    memory_.put(object + layout_.thread_interpreter, interpreter_);
    memory_.put(object + layout_.thread_pthread, of_pthread);
    if (layout_.thread_native != kNone) memory_.put(object + layout_.thread_native, native);
    if (layout_.cframe_frame != kNone) {
      const Address cframe = take(16);
      memory_.put(cframe + layout_.cframe_frame, frame);
      frame = cframe;
    }
    memory_.put(object + layout_.thread_frame, frame);
    // As the interpreter does: at the front.
    memory_.put(object + layout_.thread_next,
                memory_.get<Address>(interpreter_ + layout_.interpreter_threads).value());
    memory_.put(interpreter_ + layout_.interpreter_threads, object);
    return object;
  }

  /// A new interpreter; threads made from now on are its.
  Address interpreter() {
    interpreter_ = take(8192);
    memory_.put(interpreter_ + layout_.interpreter_next,
                memory_.get<Address>(runtime_ + layout_.runtime_interpreters).value());
    memory_.put(runtime_ + layout_.runtime_interpreters, interpreter_);
    return interpreter_;
  }

  Address take(std::size_t size) {
    const Address result = StretchMemory::kBase + used_;
    used_ += (size + 15) / 16 * 16;
    if (used_ > memory_.bytes.size()) throw std::length_error("PythonProcess is full");
    return result;
  }

  StretchMemory& memory() { return memory_; }
  std::size_t used() const { return used_; }
  const Layout& layout() const { return layout_; }
  Address runtime() const { return runtime_; }
  const std::vector<ModuleRecord>& modules() const { return modules_; }
  const std::vector<Mapping>& mappings() const { return mappings_; }
  /// One mapping, up to `end`.
  void map(Address end) {
    Mapping mapping;
    mapping.start = StretchMemory::kBase, mapping.end = end;
    mappings_ = {mapping};
  }

 private:
  static std::size_t at(Address address) { return address - StretchMemory::kBase; }

  Address type(std::string_view name, std::uint64_t basic_size) {
    const Address characters = take(name.size() + 1);
    std::memcpy(&memory_.bytes[at(characters)], name.data(), name.size());
    const Address object = take(64);
    memory_.put(object + layout_.object_type, type_type_);
    memory_.put(object + layout_.type_name, characters);
    memory_.put(object + layout_.type_basic_size, basic_size);
    return object;
  }

  Address byte_string(std::string_view bytes) {
    const Address object = take(layout_.bytes_data + bytes.size());
    memory_.put(object + layout_.object_type, bytes_type_);
    memory_.put<std::uint64_t>(object + layout_.bytes_size, bytes.size());
    std::memcpy(&memory_.bytes[at(object + layout_.bytes_data)], bytes.data(), bytes.size());
    return object;
  }

  /// An ELF header, a dynamic section and a System V hash table of one bucket.
  void make_module(bool with_version) {
    const Address start = take(4096);
    constexpr char kNames[] = "\0_PyRuntime\0Py_Version";
    struct {
      Elf64_Ehdr header{};
      Elf64_Phdr dynamic_segment{};
      Elf64_Dyn dynamic[4]{};
      Elf64_Sym symbols[3]{};
      std::uint32_t hash[6] = {1, 3, 1, 0, 2, 0};  // buckets, symbols, bucket, chain
      char names[sizeof kNames];
    } file;
    std::memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = ELFCLASS64;
    file.header.e_phoff = offsetof(decltype(file), dynamic_segment);
    file.header.e_phentsize = sizeof(Elf64_Phdr);
    file.header.e_phnum = 1;
    file.dynamic_segment.p_type = PT_DYNAMIC;
    file.dynamic_segment.p_vaddr = offsetof(decltype(file), dynamic);
    file.dynamic_segment.p_memsz = sizeof file.dynamic;
    file.dynamic[0] = {DT_SYMTAB, {start + offsetof(decltype(file), symbols)}};
    file.dynamic[1] = {DT_STRTAB, {offsetof(decltype(file), names)}};  // as musl leaves it
    file.dynamic[2] = {DT_HASH, {start + offsetof(decltype(file), hash)}};
    file.symbols[1] = {1, 0, 0, 1, runtime_ - start, 0};
    file.symbols[2] = {12, 0, 0, std::uint16_t(with_version ? 1 : SHN_UNDEF), version_ - start, 0};
    std::memcpy(file.names, kNames, sizeof kNames);
    memory_.put(start, file);
    ModuleRecord module;
    module.start = start, module.end = start + 4096, module.bias = start;
    module.path = "/opt/program";
    modules_.push_back(module);
  }

  const Layout layout_;
  StretchMemory memory_{64 << 10};
  std::size_t used_ = 0;
  Address runtime_ = 0, version_ = 0, interpreter_ = 0;
  Address type_type_ = 0, code_type_ = 0, text_type_ = 0, bytes_type_ = 0, frame_type_ = 0;
  std::vector<ModuleRecord> modules_;
  std::vector<Mapping> mappings_;
};

}  // namespace forkscope::test
