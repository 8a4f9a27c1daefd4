// Goes along with a running program: waits for it, passes on signals sent to forkscope alone, stops
// and continues with it, keeps storage behind the records, has findings reported, ends it when its
// time is over. One instance, main thread.
//
// Which signal goes where. The program is in our process group, so what the terminal or kill(-pgid)
// sends to the group it gets by itself:
//
//   from the kernel (Ctrl-C, Ctrl-\, Ctrl-Z, window size)   nothing to do; SIGHUP to a session
//                                                           leader goes to nobody else: passed on
//   from a process of the program's own tree                not passed on: it would come back to it
//   from any other process                                  passed on, with its sigqueue() value
//   SIGCONT                                                 passed on to a stopped program
//   SIGCHLD, SIGPIPE of our own writes                      ours
//
// A sender that signals the whole group cannot be told from one that signals us: the program may
// see that signal twice.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/reporter.hpp"
#include "detector/cli/signals.hpp"

namespace forkscope::cli {

struct RunEnd {
  std::optional<int> exit, signal;  ///< of the program; neither when it could not even be killed
  bool timed_out = false;
};

struct SuperviseOptions {
  std::optional<std::chrono::nanoseconds> timeout;
  bool quiet = false;
};

RunEnd supervise(pid_t program, const Signals& signals, ArenaFile& arena, Reporter& reporter,
                 const SuperviseOptions& options);

}  // namespace forkscope::cli
