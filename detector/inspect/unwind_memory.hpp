// The memory an unwinder reads: copied bytes first, in their order, then what every process maps
// unchanged from the files of its modules, then the process itself, if there is one. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "detector/inspect/elf_image.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/record/session.hpp"

namespace forkscope {

class UnwindMemory {
 public:
  /// `process` may be null: a thread that is gone.
  UnwindMemory(ProcessMemory* process, const std::vector<ModuleRecord>& modules)
      : process_(process), modules_(modules) {}

  /// To be called first, and for each stack. The bytes win over all others until it is called
  /// again; if there are any, the process is asked for its vDSO only: it has gone on since. Forgets
  /// what was read of the process.
  void start(const std::vector<MemoryBytes>& slices);

  /// Where the last byte of a successful read came from.
  enum class Source { kNone, kSlice, kProcess, kFile, kExtra };

  /// A file that is mapped where it was recorded.
  struct Mapping {
    const ModuleRecord* module;
    ElfImage* image;
  };

  bool read(std::uint64_t address, std::span<std::byte> out);
  template <class T>
  requires std::is_trivially_copyable_v<T>
  bool read(std::uint64_t address, T& out) {
    return read(address, std::as_writable_bytes(std::span(&out, 1)));
  }
  Source last_source() const { return last_source_; }
  void forget_source() { last_source_ = Source::kNone; }

  /// Unwind tables point to the personality routine through relocated data (DW.ref.*), which is
  /// writable. libunwind reads that pointer and nobody uses it, so while it parses tables the bytes
  /// of the file will do. Never for stacks.
  void set_segments(ElfImage::Segments which) { segments_ = which; }

  /// The module whose executable code the address lies in; image is null when there is none or its
  /// file cannot be read.
  Mapping code_at(std::uint64_t address);

  /// Makes bytes readable that no process had (unwind tables built here). Returns their address:
  /// one that is not canonical, so it cannot collide with evidence.
  std::uint64_t add(std::span<const std::byte> bytes);

 private:
  static constexpr std::uint64_t kExtraBase = std::uint64_t{1} << 62;

  bool read_byte(std::uint64_t address, std::byte& out);
  bool read_file(std::uint64_t address, std::span<std::byte> out);
  bool read_process(std::uint64_t address, std::span<std::byte> out);
  ElfImage* image(const ModuleRecord& module);

  ProcessMemory* process_;
  const std::vector<ModuleRecord>& modules_;
  const std::vector<MemoryBytes>* slices_ = nullptr;                 ///< set by start()
  std::map<std::string, std::unique_ptr<ElfImage>> images_;          ///< null: cannot be read
  std::unordered_map<std::uint64_t, std::vector<std::byte>> pages_;  ///< empty: cannot be read
  std::vector<std::byte> extra_;
  Source last_source_ = Source::kNone;
  ElfImage::Segments segments_ = ElfImage::Segments::kReadOnly;
};

}  // namespace forkscope
