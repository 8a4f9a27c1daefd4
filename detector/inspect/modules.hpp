// Which files a process has loaded as programs and libraries, from its mappings and their ELF
// headers in its memory. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

class ModuleFinder {
 public:
  explicit ModuleFinder(ProcessMemory& memory) : memory_(memory) {}

  /// Of a living process: its folder in /proc, and whether its paths mean the same files to us.
  void set_folders(std::string proc_folder, bool same_files) {
    proc_folder_ = std::move(proc_folder);
    same_files_ = same_files;
  }

  /// One for each ELF file that is mapped from its start. `path` is the process's own, `file` where
  /// to open it when that is another.
  std::vector<ModuleRecord> modules(const std::vector<Mapping>& mappings);

 private:
  bool fill(ModuleRecord& module, const Mapping& first);
  std::string open_at(const Mapping& mapping) const;

  ProcessMemory& memory_;
  std::string proc_folder_;
  bool same_files_ = true;
};

/// From the ELF header of the program.
Abi abi_of(ProcessMemory& memory, const std::vector<Mapping>& mappings);
/// From the names of the modules; a statically linked program's is not known.
Libc libc_of(const std::vector<ModuleRecord>& modules);

}  // namespace forkscope
