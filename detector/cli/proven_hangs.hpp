// Children that hang alike: what was proved of one holds for its copies. A pool of a thousand
// children that one mistake hangs is looked at as a whole once. Reads /proc and memory; nothing is
// stopped. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "detector/cli/processes.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/retell.hpp"

namespace forkscope::cli {

class ProvenHangs {
 public:
  /// Keeps the diagnosis, if it is one that holds for copies: a deadlock of a process with one
  /// thread.
  void add(const Process& process, const Evidence& evidence, const Diagnosis& diagnosis);

  /// The diagnosis of a process that hangs like one that was added. Its command line and age are
  /// those of the other one.
  std::optional<Diagnosis> find(const Process& process) const;

 private:
  /// Equal for children of one process, with one thread each and memory of their own, which are
  /// blocked for ever at the same instruction with the same stack pointer, on the same address with
  /// the same bytes there, and have handlers for the same signals.
  using Key = std::vector<std::uint64_t>;
  struct Lost {
    std::uint64_t start;
    std::int32_t tid;
  };
  struct Hang {
    Diagnosis diagnosis;
    Likeness likeness;
    std::vector<Lost> lost;
  };

  /// Nothing for a process that is not blocked like that, or where one of those is not known.
  static std::optional<Key> key_of(const Process& process);

  std::map<Key, Hang> hangs_;
};

}  // namespace forkscope::cli
