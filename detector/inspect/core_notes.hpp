// A core file as the kernel or a debugger wrote it (core(5), elf(5)): its segments and notes, with
// nothing made of them yet. Never trusts a field of the file. Not thread-safe.
#pragma once

#include <sys/procfs.h>
#include <sys/user.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "detector/inspect/unique_fd.hpp"

namespace forkscope {

struct CoreSegment {
  std::uint64_t start = 0, end = 0;    ///< addresses
  std::uint64_t offset = 0, size = 0;  ///< its bytes in the core: fewer than it had, or none
  bool readable = false, writable = false, executable = false;
};

/// NT_FILE: a file that was mapped.
struct CoreMappedFile {
  std::uint64_t start = 0, end = 0, offset = 0;
  std::string path;
};

/// NT_PRSTATUS.
struct CoreStatus {
  std::int32_t tid = 0;
  user_regs_struct registers{};
};

struct CoreNotes {
  UniqueFd fd;  ///< of the core file
  std::uint64_t file_size = 0;
  std::uint64_t wanted_size = 0;      ///< what its headers say it should have
  std::vector<CoreSegment> segments;  ///< in order of address
  std::vector<CoreStatus> threads;    ///< the one that got the signal first
  std::optional<elf_prpsinfo> process;
  std::vector<CoreMappedFile> files;
  std::map<std::uint64_t, std::uint64_t> auxv;
  std::vector<std::byte> auxv_bytes;
};

/// Throws std::runtime_error with a sentence when it is not a core file of this architecture, or
/// its notes cannot be read.
CoreNotes read_core(const std::string& path);

}  // namespace forkscope
