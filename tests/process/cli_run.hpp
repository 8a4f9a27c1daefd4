// Starts programs for the tests of the command, with everything about them chosen by the test.
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace cli_test {

/// A folder that is removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::string& path);
bool exists(const std::string& path);
/// Whether the process is there and not a zombie.
bool process_lives(pid_t pid);

struct Ended {
  int wait_status = 0;
  std::string output, errors;

  int exit() const;    ///< exit status, -1 when a signal ended it
  int signal() const;  ///< that signal, 0 when it exited
  /// `errors` is one line, begins with "forkscope: " and holds `part`.
  bool one_sentence_with(const std::string& part) const;
};

/// A program that was started, with pipes to all its standard streams.
class Started {
 public:
  /// `prepare` runs in the child before exec. The program is killed if it lives too long.
  explicit Started(const std::vector<std::string>& arguments,
                   const std::function<void()>& prepare = {});
  ~Started();
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;

  pid_t pid() const { return pid_; }
  /// Reads standard output up to the end of the next line, which is returned without its end.
  std::string line();
  /// Feeds `input`, reads everything, waits for the end.
  Ended end(const std::string& input = {});

 private:
  pid_t pid_ = -1;
  int input_ = -1, output_ = -1, errors_ = -1;
  Ended ended_;
};

/// Started and ended. `arguments` begin with the program.
Ended run(const std::vector<std::string>& arguments, const std::string& input = {},
          const std::function<void()>& prepare = {});
/// {"forkscope", "run", options..., "--", command...} with the real paths.
std::vector<std::string> forkscope_run(const std::vector<std::string>& options,
                                       const std::vector<std::string>& command);
/// {cli_probe, arguments...}
std::vector<std::string> probe(const std::vector<std::string>& arguments);

}  // namespace cli_test
