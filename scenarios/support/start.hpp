// Three ways to start a worker: fork, posix_spawn of a fresh image, and a fork server.
//
// Each may be called while other threads run; what that means for the worker is what the scenarios
// are about. ForkServer itself must be made while the process has one thread. None is
// async-signal-safe, and the objects are not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "scenarios/support/descriptor.hpp"
#include "scenarios/support/worker.hpp"

namespace forkscope::scenario {

/// multiprocessing's "fork": the worker is a copy of this process as the calling thread sees it.
Worker fork_worker(const std::function<std::int64_t()>& work);

/// multiprocessing's "spawn": this program again in a fresh image, which runs
/// Program::fresh_worker with the argument.
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
