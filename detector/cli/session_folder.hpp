// The folder of a session: SESSION/records (arena_file.hpp), SESSION/command.json, which holds what
// the command knows beside the records, so that `forkscope report` can tell it later, and what the
// watchdog found (watch_file.hpp).
// Not thread-safe.
#pragma once

#include <string>

#include "detector/verdict/report.hpp"

namespace forkscope::cli {

class SessionFolder {
 public:
  /// `wanted` empty: a temporary folder below TMPDIR, removed by the destructor. Otherwise that
  /// folder, created if missing, and kept once keep() was called. Throws Failure.
  explicit SessionFolder(const std::string& wanted);
  ~SessionFolder();
  SessionFolder(const SessionFolder&) = delete;
  SessionFolder& operator=(const SessionFolder&) = delete;

  /// Absolute: the program changes its directory.
  const std::string& path() const { return path_; }
  bool temporary() const { return temporary_; }
  /// The program was started: a folder that was asked for stays.
  void keep() { started_ = true; }
  /// Removes a temporary folder now. What is mapped stays readable.
  void remove_temporary();

 private:
  void remove_files();

  std::string path_;
  bool temporary_ = false;
  bool created_ = false;
  bool started_ = false;
};

/// Writes SESSION/command.json, and facts.watched beside it. `finished`: the program has ended, `facts` are final. Throws
/// Failure.
void write_facts(const std::string& session, const RunFacts& facts, bool finished);

struct StoredFacts {
  RunFacts facts;
  bool finished = false;
};
/// Reads it back; a session recorded without the command has none, which gives empty facts.
/// Throws Failure when there is one that cannot be understood.
StoredFacts read_facts(const std::string& session);

}  // namespace forkscope::cli
