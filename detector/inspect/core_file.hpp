// A process as a core file shows it: its memory, and the evidence on it. Not thread-safe.
//
// The kernel leaves out what can be read elsewhere, code above all (/proc/PID/coredump_filter):
// such bytes come from the files that were mapped, if they are still the same.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "detector/inspect/core_notes.hpp"
#include "detector/inspect/elf_image.hpp"
#include "detector/inspect/known_registers.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

class CoreFile final : public ProcessMemory {
 public:
  /// `exe` is where the program is, when that is not where it was. Throws std::runtime_error with
  /// a sentence.
  explicit CoreFile(const std::string& path, const std::string& exe = "");

  bool read(std::uint64_t address, std::span<std::byte> out) override;

  /// What the core file tells. Without stacks and waited words: `memory` and each thread's `stack`
  /// are empty. Its threads are in the order of registers().
  const ProcessEvidence& process() const { return process_; }
  const std::vector<KnownRegisters>& registers() const { return registers_; }

 private:
  bool read_core_bytes(std::uint64_t address, std::span<std::byte> out);
  bool read_mapped_file(std::uint64_t address, std::span<std::byte> out);
  ElfImage* image(const std::string& path);
  const CoreSegment* segment_at(std::uint64_t address) const;
  const CoreMappedFile* file_at(std::uint64_t address) const;
  std::string file_of(const std::string& path) const;
  void find_program();
  void take_process(const std::string& path);
  void take_threads();
  void take_mappings();
  void take_modules();
  bool is_other_build(const ModuleRecord& module);
  std::vector<std::string> arguments();

  CoreNotes notes_;
  std::string exe_;                        ///< the path given, empty without
  std::string program_;                    ///< path of the executable as it was mapped
  std::vector<std::string> other_builds_;  ///< files that changed: not to be read
  std::map<std::string, std::unique_ptr<ElfImage>> images_;  ///< null: cannot be read
  ProcessEvidence process_;
  std::vector<KnownRegisters> registers_;
};

}  // namespace forkscope
