// Runs the catalogue under other detectors, and tabulates what each said beside what forkscope
// finds. What another tool says is counted, not judged: its errors may have nothing to do with the
// fork, which the cured methods show.
//
// Runs in the command only; not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "scenarios/runner/campaign.hpp"

namespace forkscope::scenario {

/// How to run a scenario under another detector: a command of a shell, to which the program and its
/// arguments are added. Where it has `{name}`, that becomes the name of the scenario, and only the
/// arguments are added: for programs that were built in another way.
struct Detector {
  std::string name;
  std::string command;
};

/// "NAME=COMMAND" (NAME has no spaces), or a command, which then is its own name.
Detector parse_detector(const std::string& text);

/// The shell's command for one run.
std::string command_under(const Detector& detector, const Chosen& chosen,
                          std::chrono::milliseconds patience);

/// What a detector said in one run.
struct Said {
  std::string end;  ///< as Outcome::end
  int status = 0;   ///< as wait(2) stores it
  /// Of the lines `ERROR SUMMARY: N errors` (Valgrind) and `WARNING: ThreadSanitizer: KIND`; no
  /// value when it has printed what is neither.
  std::optional<unsigned long> errors;
  std::map<std::string, unsigned long> kinds;  ///< what they are about, where that can be read
};

/// Pure; unit-tested.
Said read_said(const Result& result);
/// "3 errors: data race 3", "0 errors", "nothing", "?".
std::string said_text(const Said& said);

/// One scenario by one method.
struct Compared {
  Case forkscope;                         ///< under `forkscope run`
  std::vector<std::vector<Said>> others;  ///< of each detector, of each run
};

std::vector<Compared> run_comparison(const Campaign& campaign,
                                     const std::vector<Detector>& detectors,
                                     const std::vector<Entry>& catalogue, const Progress& progress);

std::string comparison_text(const std::vector<Compared>& all, const std::vector<Detector>& names);
std::string comparison_markdown(const std::vector<Compared>& all,
                                const std::vector<Detector>& names);
/// Schema forkscope.comparison/1, indented by 2, ends with a newline.
std::string comparison_json(const std::vector<Compared>& all, const std::vector<Detector>& names);

}  // namespace forkscope::scenario
