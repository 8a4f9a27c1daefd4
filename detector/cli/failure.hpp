// How the command fails: one sentence and an exit status, carried by an exception up to main().
#pragma once

#include <stdexcept>
#include <string>

namespace forkscope::cli {

/// Exit statuses of forkscope's own (documented in docs/man/forkscope.1). The values from 124 on
/// are those of timeout(1) and env(1), which scripts already know.
enum ExitStatus : int {
  kFindingMade = 86,  ///< default of --error-exitcode
  kProbablyFound = 87,  ///< of `attach` and `scan`: a deadlock that is not proven
  kTimedOut = 124,
  kForkscopeFailed = 125,
  kCannotExecute = 126,
  kNotFound = 127,
};

/// `what()` is one sentence without the leading "forkscope: " and without a full stop: it names
/// what is wrong and what to do.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& sentence, int exit_status = kForkscopeFailed)
      : std::runtime_error(sentence), exit_status_(exit_status) {}
  int exit_status() const { return exit_status_; }

 private:
  int exit_status_;
};

/// strerror() as a clause.
std::string error_text(int error);

}  // namespace forkscope::cli
