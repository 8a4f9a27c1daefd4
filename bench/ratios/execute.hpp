// Runs a measuring program to its end and keeps what it prints.
//
// Not thread-safe: it forks. A handler of SIGINT or SIGTERM without SA_RESTART ends a wait.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace forkscope::bench {

struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A descriptor that is closed with its scope.
class Descriptor {
 public:
  /// Throws std::system_error with errno, which `what` failed with, when there is none.
  Descriptor(int fd, const char* what);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};
/// All of a file that others write; where it is read is left alone.
std::string contents(const Descriptor& file);

struct Finished {
  int status = 0;  ///< of wait
  std::string output, errors;
  double seconds = 0;
};
/// `more_environment` comes on top of this process's, less what would change the numbers. `cpus`:
/// where it may run; all when empty. What it leaves behind in its process group is killed. Throws
/// Interrupted, and std::runtime_error after `timeout` seconds.
Finished execute(std::vector<std::string> arguments,
                 const std::vector<std::string>& more_environment, const std::vector<int>& cpus,
                 double timeout);

}  // namespace forkscope::bench
