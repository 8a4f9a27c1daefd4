// A worker process seen from both sides: the news it sends over a pipe, and the parent that starts
// it, waits for the news with limited patience, and reaps it.
//
//   parent                            worker
//     | start (fork, spawn, server)     |
//     |-------------------------------->|
//     |<----------- ready --------------|   before it touches what the scenario is about
//     |                                 |   work
//     |<----------- done, result -------|   and _exit
//
// Times are taken by the parent on CLOCK_MONOTONIC, from just before the start request.
// Not thread-safe: one thread of the parent deals with a worker. A worker ends with _exit, as the
// children of Python's multiprocessing do: the static objects it inherited are the parent's.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "scenarios/support/descriptor.hpp"

namespace forkscope::scenario {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC in libstdc++

/// The write end for the worker and the read end for its parent, both close-on-exec.
struct NewsPipe {
  Descriptor read_end, write_end;
  static NewsPipe open();
};

/// In the worker: says ready, works, says done with the result, and ends the process.
[[noreturn]] void serve(int news, const std::function<std::int64_t()>& work);

/// For workers that end by exit() instead: says done when it is destroyed, in a worker alone. Made
/// before the static objects whose destruction is to be over by then.
struct DoneAtExit {
  DoneAtExit() = default;
  DoneAtExit(const DoneAtExit&) = delete;
  DoneAtExit& operator=(const DoneAtExit&) = delete;
  ~DoneAtExit();
};

/// In the parent: a worker that was started.
struct Worker {
  pid_t pid = -1;
  Clock::time_point requested;
  Descriptor news;
  std::function<int()> reap;  ///< waits for its end, gives the status as wait(2) stores it
};

/// Before a worker that hangs is killed, follow() runs this command of a shell with its PID as the
/// last argument. Called before the first worker is started.
void examine_hung_workers(const std::string& command);

/// Follows a worker to its end and says on standard output what happened, with the lines
/// `timing ready_us=N` and `timing done_us=N`. Kills it when it sends nothing for `patience`.
/// Returns a Status; a result other than `expected` is an error.
int follow(Worker worker, int number, std::chrono::milliseconds patience, std::int64_t expected);

}  // namespace forkscope::scenario
