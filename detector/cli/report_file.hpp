// A file named on the command line for a report: found unwritable before the program starts, and
// replaced in one step at the end, so that nobody ever reads half of it. Not thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace forkscope::cli {

class ReportFile {
 public:
  /// Checks that it can be written; leaves nothing behind. Throws Failure.
  /// `option` is for the message: "--json".
  ReportFile(const std::string& path, const std::string& option);

  /// Writes it. Throws Failure.
  void write(std::string_view text) const;

 private:
  std::string path_;  ///< symbolic links resolved: the link is kept
  std::string option_;
  bool replace_ = true;  ///< false for devices and pipes: /dev/stderr must not be renamed over
};

}  // namespace forkscope::cli
