// SESSION/records as its owner sees it: created, extended while the program runs, read.
// The format is detector/record/record.hpp's.
//
// grow_if_needed() belongs to one thread; wake(), used(), forks() and snapshot() may run in any. The
// observed processes write to the same memory all the time.
#pragma once

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
  /// A private copy of what is used, for the parser. A record is in it whole or without its magic.
  std::vector<std::byte> snapshot() const;

 private:
  record::ArenaHeader* header_ = nullptr;
  UniqueFd fd_;
  int growth_error_ = 0;
};

}  // namespace forkscope::cli
