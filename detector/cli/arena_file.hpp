// SESSION/records as its owner sees it: created, extended while the program runs, read.
// The format is detector/record/record.hpp's.
//
// grow_if_needed() belongs to one thread; the other functions may run in any. The observed
// processes write to the same memory all the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "detector/inspect/unique_fd.hpp"
#include "detector/record/record.hpp"

namespace forkscope::cli {

class ArenaFile {
 public:
  /// Creates DIRECTORY/records, which must not exist. Throws Failure.
  explicit ArenaFile(const std::string& directory);
  ~ArenaFile();
  ArenaFile(const ArenaFile&) = delete;
  ArenaFile& operator=(const ArenaFile&) = delete;

  /// Puts storage behind more of the file when writers are about to run out of it.
  void grow_if_needed();
  /// errno of the extension that failed, after which no other is tried; else 0.
  int growth_error() const { return growth_error_; }

  /// Changes when a finding was published.
  std::uint32_t wake() const;
  /// Bytes reserved by writers so far.
  std::uint64_t used() const;
  /// Child processes counted so far, those without a record included.
  std::uint64_t forks() const;
  /// Sleeps until wake() is no longer `seen`, or for that long.
  void wait_for_wake(std::uint32_t seen, std::chrono::milliseconds longest) const;
  /// Ends such a sleep of another thread.
  void end_wait() const;

  /// Whether processes may ask for looks, and wait for them (ArenaHeader::looks).
  void take_looks(bool taken) const;
  /// A finding whose process asks to be looked at.
  struct Look {
    std::uint64_t record = 0;  ///< record::Finding::id
    std::int32_t pid = 0, tid = 0;
    std::int32_t holder_tid = 0;  ///< 0: nobody is missed, or none that could live on elsewhere
  };
  /// Those asked for and not answered.
  std::vector<Look> looks() const;
  /// Lets the process go on that asked for it.
  void answer_look(std::uint64_t record) const;
  /// The file's, for who wants to find out whether a process has it mapped.
  std::uint64_t inode() const { return inode_; }

  /// A private copy of what is used, for the parser. A record is in it whole or without its magic.
  std::vector<std::byte> snapshot() const;

 private:
  std::byte* record_at(std::uint64_t offset) const;

  record::ArenaHeader* header_ = nullptr;
  UniqueFd fd_;
  std::uint64_t inode_ = 0;
  int growth_error_ = 0;
};

}  // namespace forkscope::cli
