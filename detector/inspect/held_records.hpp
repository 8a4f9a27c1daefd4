// The tracker's records of a process's threads, copied out of its memory while it runs.
//
// Each copy has its own `top` again, so that ThreadRecord::each() works on it. Only what is in use
// of a record is copied. A record may change while it is copied: see held_reader.hpp for what that
// means. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/tracker/held_tables.hpp"

namespace forkscope {

class HeldRecords {
 public:
  HeldRecords(LiveMemory& memory, const HeldTables& tables, std::int32_t own_pid)
      : memory_(memory), tables_(tables), pid_(own_pid) {}

  /// Where the records are by now. False: they are not there (any more), or another process's.
  bool find();

  enum class Read {
    kDone,
    kTorn,  ///< a record that no moment had
    kGone,
  };
  /// Copies those that find() knows of.
  Read copy();

  std::size_t size() const { return copied_; }
  const ThreadRecord& operator[](std::size_t index) const { return records_[index]; }
  /// Whether the thread is one of this process, and running.
  bool alive(std::size_t index) const;
  /// Where a slot of the copy is in the process.
  std::uint64_t address_of(std::size_t index, const Slot& slot) const;

  /// For a second copy of the same: knows what `other` found.
  void follow(const HeldRecords& other);

 private:
  std::uint64_t address_of(std::size_t index) const;
  bool relocate(std::size_t index);
  bool copy_rest();

  LiveMemory& memory_;
  HeldTables tables_;
  std::int32_t pid_;
  std::uint32_t generation_ = 0, used_ = 0;
  std::vector<std::uint64_t> chunks_;
  std::unique_ptr<ThreadRecord[]> records_;
  std::size_t room_ = 0, copied_ = 0;
  std::vector<LiveMemory::Piece> pieces_;
};

}  // namespace forkscope
