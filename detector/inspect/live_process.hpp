// One living process as /proc shows it. Nothing here stops it or makes it run. Not thread-safe.
//
// A process is held by its directory in /proc: when it ends, reads fail, and never give what a
// later process with its pid would show.
#pragma once

#include <sys/types.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/refusal.hpp"
#include "detector/inspect/suspects.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

class LiveProcess {
 public:
  /// Null when there is no such process.
  static std::unique_ptr<LiveProcess> open(pid_t pid);

  pid_t pid() const { return pid_; }
  LiveMemory& memory() { return memory_; }

  /// /proc/PID/stat; nothing when the process is gone.
  std::optional<ProcStat> stat() const;

  /// What can be read, without stacks and memory. Threads are looked at twice, and the first look
  /// at all of them ends before the second begins: those that are `settled` were all asleep at the
  /// instant between.
  ProcessEvidence look();
  /// Only its threads, once.
  std::vector<ThreadEvidence> threads() const;

  /// The bytes the kernel put on the stack at execve (AT_RANDOM), with their address: equal in a
  /// process and its copies by fork, different in any two programs.
  struct ImageMark {
    std::uint64_t address = 0;
    std::array<std::byte, 16> bytes{};
    bool operator==(const ImageMark&) const = default;
  };
  std::optional<ImageMark> image_mark();

  /// Whether some thread waits in a futex without a time limit. One read a thread, no more.
  Suspicion waits_for_ever() const;

  bool is_kernel_thread() const;
  /// Its command line; empty when it cannot be read.
  std::vector<std::string> command() const;
  /// The errno of what could not be read last.
  int last_error() const { return error_; }
  bool has_io_uring() const;

  /// Whether any other process uses the same memory (CLONE_VM without CLONE_THREAD), wherever in the
  /// tree it is. Nothing: kcmp(2) is not to be had here.
  std::optional<bool> shares_memory() const;

 private:
  LiveProcess(pid_t pid, UniqueFd directory)
      : pid_(pid), living_(pid), directory_(std::move(directory)), memory_(pid) {}

  /// errno of the last read_file that failed is kept for the Missing entries.
  std::optional<std::string> read_file(const std::string& name) const;
  std::string link(const char* name) const;
  std::vector<pid_t> thread_ids() const;
  std::optional<ThreadEvidence> look_at_thread(pid_t tid) const;
  void look_at_threads(ProcessEvidence& process) const;
  void see_what_changed(ProcessEvidence& process);
  void look_at_mappings(ProcessEvidence& process);
  /// After the first thread has ended, another one knows what the process has. False: all ended.
  bool choose_living_thread();

  pid_t pid_;
  pid_t living_;      ///< a thread of it that has not ended
  std::string body_;  ///< that thread's folder in the process's, empty: the process's own
  UniqueFd directory_;
  LiveMemory memory_;
  mutable int error_ = 0;
};

/// Whether a thread did not run for an instant between the earlier look and its own: it is blocked in
/// the same call, and the count of its context switches is the same.
bool slept_since(const std::vector<ThreadEvidence>& before, const ThreadEvidence& thread);

}  // namespace forkscope
