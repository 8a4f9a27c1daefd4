// Gives names to the addresses of one observed process, and hides forkscope's own frames in them.
// Not thread-safe; a session and a Namer must outlive it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "detector/record/module_history.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

class AddressSpace {
 public:
  AddressSpace(std::vector<ModuleRecord> modules, const HelloRecord* hello, Namer& namer);

  /// Frames of return addresses, innermost first, without those of the preload library: it is
  /// innermost in every stack it records, and it starts every thread it watches.
  std::vector<Frame> stack(std::span<const std::uint64_t> return_addresses) const;
  std::vector<Frame> stack(const UnwoundStack& unwound) const;

  /// The function that starts at an address.
  std::optional<Frame> function(std::uint64_t address) const;
  /// Where a call comes from, as one frame: the innermost function that is not the C++ library's,
  /// because "gthr-default.h:749" tells nobody where a lock was taken.
  std::optional<Frame> call_site(std::uint64_t return_address) const;
  /// The same for a stack: the first address outside the preload library.
  std::optional<Frame> caller(std::span<const std::uint64_t> return_addresses) const;
  LockInfo lock(std::uint64_t address, const std::string& type) const;

  /// A descriptor, a handle, an address that no variable lies at: nothing to name.
  static LockInfo nameless(std::uint64_t address, const std::string& type);
  bool is_preload_library(std::uint64_t address) const;

  const std::vector<ModuleRecord>& modules() const { return modules_; }
  /// Path of the executable, empty when its start was not recorded.
  const std::string& executable() const { return executable_; }
  /// Null when the address is in none.
  const ModuleRecord* module_at(std::uint64_t address) const;

 private:
  void append(std::vector<Frame>& frames, std::uint64_t address, bool call) const;

  std::vector<ModuleRecord> modules_;  // sorted by start, disjoint
  std::string executable_;
  std::string preload_;
  Namer* namer_;
};

/// Whether the C++ standard library wrote this function: no place a reader knows or can change.
bool is_standard_library(const Frame& frame);
/// The same or of the C library: code that is no program's own.
bool is_runtime(const Frame& frame);

/// For a lock that is a sem_t or a pthread_barrier_t: those are unions with an array, which nobody
/// wrote. "slots[2][0]" becomes "slots[2]".
void leave_out_union(LockInfo& lock);

/// The address spaces of a session, each made once.
class AddressSpaces {
 public:
  AddressSpaces(const Session& session, Namer& namer);
  /// Of the process that wrote the record, at that time: another module may lie at an address later.
  const AddressSpace& of(const RecordMeta& record);

 private:
  Namer* namer_;
  std::map<std::uint32_t, const HelloRecord*> hellos_;
  ModuleHistory history_;
  std::map<ModuleHistory::Period, AddressSpace> spaces_;
};

}  // namespace forkscope
