// The ways to start a worker: a copy of the process, a fresh image, and a fork server.
//
// Each may be called while other threads run; what that means for the worker is what the scenarios
// are about. ForkServer itself must be made while the process has one thread. None is
// async-signal-safe, and the objects are not thread-safe.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "scenarios/support/descriptor.hpp"
#include "scenarios/support/worker.hpp"

namespace forkscope::scenario {

/// multiprocessing's "fork": the worker is a copy of this process as the calling thread sees it,
/// made by fork or by what stands in for it.
Worker fork_worker(const std::function<std::int64_t()>& work, pid_t (*copy)() = fork);

/// For what was started by other means, with the write end of the news pipe; -1 is an error.
Worker started(pid_t pid, NewsPipe news, Clock::time_point requested);

/// The path of this program. Not /proc/self/exe itself, which is Valgrind where that runs it.
std::string this_program();

/// This program again in a fresh image, which runs Program::fresh_worker with the argument. Made
/// before the process is copied, because between the copy and exec nothing may allocate.
class FreshImage {
 public:
  explicit FreshImage(const std::string& argument);
  FreshImage(const FreshImage&) = delete;
  FreshImage& operator=(const FreshImage&) = delete;

  /// In the child. Async-signal-safe, and right after vfork as well.
  [[noreturn]] void exec() const;
  /// With posix_spawn; gives the PID.
  pid_t spawn() const;
  /// In the parent, once and last.
  Worker worker(pid_t pid);

 private:
  NewsPipe pipe_ = NewsPipe::open();
  std::string program_ = this_program(), name_ = "worker", option_, argument_;
  std::array<char*, 4> arguments_;  ///< into the strings above
  Clock::time_point requested_ = Clock::now();
};

/// multiprocessing's "spawn".
Worker spawn_worker(const std::string& argument);

/// multiprocessing's "forkserver": a process with one thread, started early, that forks workers on
/// request. Requests go over a Unix socket: the argument, with the worker's end of the news pipe.
class ForkServer {
 public:
  /// Throws when the process already has other threads: the server would inherit their locks.
  explicit ForkServer(const std::function<std::int64_t(const std::string&)>& work);
  ForkServer(const ForkServer&) = delete;
  ForkServer& operator=(const ForkServer&) = delete;
  /// Closes the socket, upon which the server ends, and reaps it.
  ~ForkServer();

  /// One worker at a time: the one before must have been reaped.
  Worker start(const std::string& argument);

 private:
  Descriptor socket_;
  pid_t pid_ = -1;
};

}  // namespace forkscope::scenario
