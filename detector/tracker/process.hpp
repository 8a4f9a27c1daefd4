// What the tracker knows of the process: identity, options, arena, and how records are written.
//
// One object in private memory, so a forked child has its own. Set up by init() before main();
// until then, and where init() found nothing to do, everything below is a no-op.
#pragma once

#include <atomic>
#include <cstdint>

#include "detector/record/options.hpp"
#include "detector/tracker/arena.hpp"

namespace forkscope {

inline constexpr std::uint32_t kGenerations = 1024;  ///< nested forks whose ids are remembered

/// The fork that made a generation.
struct Ancestor {
  std::uint64_t fork;
  std::int32_t forker_tid;  ///< of its caller, in the parent; 0: its TID was not a former one
};

/// First what a forked child writes, page by page copied for it.
struct alignas(64) Process {
  std::int32_t pid = 0;
  std::uint32_t image = 0;
  record::Api last_api = record::Api::kUnknown;  ///< by which this process was forked
  bool lost_threads = false;     ///< it, or one it is a copy of, lost a thread in a fork
  bool probe = false;            ///< it is the child of a probe: no child of the program
  std::uint32_t generation = 0;  ///< how many forks lie between exec and this process
  /// Generation in which a thread was last created. libc gives new threads of a child the stacks of
  /// lost ones: from then on those of earlier generations are no longer frozen.
  std::atomic<std::uint32_t> stacks_used_by{0};
  /// Others that may run in this memory, vfork children and the like: then pid may be another's.
  std::atomic<std::uint32_t> shares_memory{0};
  std::atomic<std::uint32_t> copies{0};  ///< forks by this process that copied its memory
  std::atomic<std::uint32_t> living{1};  ///< threads the tracker knows of
  std::atomic<std::uint32_t> lives{0};   ///< threads there were: history::next_life()
  Ancestor ancestors[kGenerations] = {};  ///< that of generation n is at n % kGenerations
  bool is_python = false;  ///< the program itself is a Python interpreter
  Options options;
  Arena arena;
  char preload[1024] = "";   ///< path of this library, as LD_PRELOAD names it
  char variable[8192] = "";  ///< FORKSCOPE_OPTIONS=..., as it was at the start
  std::uint64_t stderr_device = 0, stderr_inode = 0;  ///< what descriptor 2 was at the start

  void count(std::atomic<std::uint64_t> record::Counters::*counter, std::uint64_t by = 1) {
    if (arena.attached() && !probe)
      (arena.header()->counters.*counter).fetch_add(by, std::memory_order_relaxed);
  }
  std::uint64_t next_fork_id();
  /// A key for Arena::repeat(): equal words in this program's image are the same.
  std::uint64_t repeat_key(std::initializer_list<std::uint64_t> words) const;
  /// The fork by which threads of `thread_generation` were lost.
  std::uint64_t fork_after(std::uint32_t thread_generation) const {
    return ancestors[(thread_generation + 1) % kGenerations].fork;
  }

  /// Whether `tid` is the calling thread before one of the forks that led here.
  bool was_forker(std::int32_t tid) const {
    for (std::uint32_t i = 0; i < kGenerations && i < generation; ++i)
      if (ancestors[(generation - i) % kGenerations].forker_tid == tid) return true;
    return false;
  }

  Arena::Space reserve(std::uint64_t payload, Arena::For use = Arena::For::kRecord) {
    return arena.reserve(payload, use);
  }
  /// Publishes in the name of process `by` (a vfork child is not `pid`).
  void publish(const Arena::Space& space, record::Type type, std::int32_t by = 0);
  template <typename T>
  void append(record::Type type, const T& payload, std::int32_t by = 0) {
    if (auto space = reserve(sizeof payload)) {
      std::memcpy(space.payload(), &payload, sizeof payload);
      publish(space, type, by);
    }
  }
  /// The same for a payload that text follows, whose length it has. Gives whether there was room.
  template <typename T>
  bool append_with_text(record::Type type, const T& payload, const char* text, std::size_t length,
                        std::int32_t by = 0) {
    auto space = reserve(sizeof payload + length);
    if (!space) return false;
    Filler fill(space.payload());
    fill.put(payload);
    fill.bytes(text, length);
    publish(space, type, by);
    return true;
  }
};

/// The one instance. Trivially destructible: usable until the very end of the process.
extern Process process;

/// Reads options from `envp`, opens the session, writes Hello. Ends the process with status 125 and
/// one sentence on descriptor 2 when FORKSCOPE_OPTIONS cannot be understood: it runs before main(),
/// so that no program is ever half-started. Not thread-safe; called once, by the constructor.
void init_process(int argc, char** argv, char** envp);

}  // namespace forkscope
