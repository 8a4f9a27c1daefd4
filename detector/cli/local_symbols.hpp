// While it lives, debug information comes from this machine only: whoever tells of a hang does not
// wait for the network, and a whole host is no reason to ask it for every library. elfutils reads
// DEBUGINFOD_URLS at each question. Not thread-safe: make and end it while no other thread names
// anything.
#pragma once

#include <cstdlib>
#include <string>

namespace forkscope::cli {

class LocalSymbols {
 public:
  LocalSymbols() {
    if (const char* urls = std::getenv(kVariable)) urls_ = urls;
    unsetenv(kVariable);
  }
  ~LocalSymbols() {
    if (asks_network()) setenv(kVariable, urls_.c_str(), 1);
  }
  LocalSymbols(const LocalSymbols&) = delete;
  LocalSymbols& operator=(const LocalSymbols&) = delete;

  /// Whether the network may be asked afterwards.
  bool asks_network() const { return !urls_.empty(); }

 private:
  static constexpr const char* kVariable = "DEBUGINFOD_URLS";
  std::string urls_;
};

}  // namespace forkscope::cli
