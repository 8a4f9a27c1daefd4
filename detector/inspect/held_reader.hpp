// Reads, from outside, who holds which lock in a process that runs under libforkscope.so. The
// process is not stopped and not slowed down: only its memory is read. Not thread-safe.
//
// One look: all threads' tables, then the words of all locks that were seen in them lately, then,
// if there are locks without owner word, the tables once more. The tables change while they are
// read; what is believed:
//
//   mutex        its owner word at the one moment when it is read: it names a thread of the
//                process, or it does not. The tables only say which mutexes there are
//   other locks  the holder's slot at the one moment when it is first read, unless the words of
//                the lock say that it is free while the slot stays as it is. A semaphore counts
//                only if the words agree; for the others, which may have been released and taken
//                again between two reads, the contradiction must last for several looks
//   torn         what no moment had: a thread began or ended in between, a slot has the address
//                of one lock and the type of another. The look is begun again, and counted. What
//                mutexes do never makes a look torn, so this does not favour quiet moments
//
// Left out, since fork() leaves them usable: locks in memory that other processes share, once flags
// and stdio streams, which libc resets in the child.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "detector/inspect/held_records.hpp"
#include "detector/verdict/exposure.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

class HeldReader {
 public:
  enum class Found {
    kYes,
    kNoLibrary,     ///< no module of the process exports the tables
    kOtherVersion,  ///< one does, or should, of a version that is not ours
    kNotAtWork,     ///< the library is not initialised (yet), or the process was copied past it
  };
  struct Result {
    Found found = Found::kNoLibrary;
    std::unique_ptr<HeldReader> reader;  ///< with kYes
  };
  /// `memory` must outlive the reader; `seen` is a look at the process.
  static Result find(LiveMemory& memory, const ProcessEvidence& seen);

  enum class Look {
    kTaken,
    kLost,  ///< torn several times: nothing is known of this moment
    kGone,  ///< the tables are not there any more: it ended, or runs another program
  };
  Look look(std::vector<HeldNow>& held);

  std::uint64_t torn() const { return torn_; }
  /// At the last look: threads, and locks they held beyond their tables.
  std::size_t threads() const { return live_.size(); }
  std::uint64_t dropped() const { return dropped_; }

  /// Of a thread at the last look.
  HolderThread thread(std::int32_t tid) const;
  /// The stack of an acquire that the last look saw, read and checked now; empty when it is over.
  UnwoundStack acquired(const HeldNow& held, const std::vector<ModuleRecord>& modules);

  /// To be given anew when a lock lies in none of those given before.
  void set_mappings(std::vector<Mapping> mappings);
  bool is_mapped(std::uint64_t address) const { return mapping_of(address) != nullptr; }
  bool is_shared(std::uint64_t address) const;

 private:
  HeldReader(LiveMemory& memory, const HeldTables& tables, const ProcessEvidence& seen);

  /// A lock that some table had lately.
  struct Known {
    record::LockType type = record::LockType::kUnknown;  ///< kUnknown: it has an owner word
    std::uint64_t seen = 0;                              ///< look at which a table had it last
    std::uint32_t sightings = 0;                         ///< looks at which one had it
    std::uint32_t contradictions = 0;  ///< in a row: held by the table, free by its words
    bool shared = false;
    bool readable = false;  ///< `words` are of this look
    alignas(8) std::byte words[sizeof(pthread_mutex_t)]{};
  };
  enum class Answer { kHeld, kFree, kTorn };

  Look once(std::vector<HeldNow>& held, bool& torn);
  void discover();
  void note(const Recorded& one);
  bool read_words();
  void add_mutexes(std::vector<HeldNow>& held) const;
  bool add_others(std::vector<HeldNow>& held);
  Answer judge(std::size_t index, const Recorded& one, Known& lock) const;
  const Mapping* mapping_of(std::uint64_t address) const;

  LiveMemory& memory_;
  HeldRecords before_, after_;
  std::map<std::int32_t, std::size_t> live_;  ///< index of the record by TID
  std::map<std::uint64_t, Known> known_;
  std::vector<LiveMemory::Piece> pieces_;
  std::vector<Known*> read_;
  std::vector<Mapping> mappings_;
  std::uint64_t look_ = 0, torn_ = 0, dropped_ = 0;
  bool others_ = false;  ///< some table has a lock without owner word
};

}  // namespace forkscope
