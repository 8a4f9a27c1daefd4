// Threads of the command's own. What ends one is said, and the command goes on without it: the
// program that it runs must neither be left alone nor die of our troubles.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "detector/cli/failure.hpp"
#include "detector/cli/output.hpp"

namespace forkscope::cli {

/// Starts `run` in a thread. `without` is a clause for an exception that escapes from it: what
/// there will not be. Throws Failure when there can be no thread.
template <typename Run>
std::thread start_thread(const char* without, Run run) {
  try {
    return std::thread([without, run = std::move(run)] {
      try {
        run();
      } catch (const std::exception& error) {
        say(std::string(error.what()) + ": " + without);
      }
    });
  } catch (const std::system_error& error) {
    throw Failure("cannot start a thread: " + error_text(error.code().value()) +
                  "; raise the limits of address space and processes (ulimit -v, ulimit -u)");
  }
}

}  // namespace forkscope::cli
