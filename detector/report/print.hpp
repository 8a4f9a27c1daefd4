// Printers of a Report. No logic beyond layout: whatever is said was decided in verdict/.
#pragma once

#include <string>

#include "detector/verdict/report.hpp"

namespace forkscope {

struct TextOptions {
  bool colour = false;
  /// Hazards and notes are printed, too: summary_text leaves them out. Findings have their stacks
  /// and why they are found.
  bool verbose = false;
  int width = 100;
  bool everything = false;  ///< whole stacks, every thread
  bool bounded = false;     ///< somebody looks at lines of this width: none may be longer
};

/// One finding, for a tired person: what happened in one sentence of their own terms, its kind and
/// fingerprint, who waits, for what, who had it, where the fork was, the cure, a line or two each.
/// With options.verbose stacks and reasons.
std::string finding_text(const Finding& finding, const TextOptions& options);
/// Its first lines and where the child waits: what is known before debug information was read.
std::string headline_text(const Finding& finding, const TextOptions& options);
/// finding_text() of one whose headline was printed.
std::string details_text(const Finding& finding, const TextOptions& options);
/// What `run` prints at the end: findings not yet printed are the caller's business; this is the
/// lines after them: unobserved programs, hazards in one line, drops, and the summary line.
std::string summary_text(const Report& report, const TextOptions& options);
/// With `verbose`: the at-fork handlers, how long they took, and which locks they took; of all
/// forks together. Else empty.
std::string handlers_text(const Report& report, const TextOptions& options);
/// What was injected and what became of it; empty where nothing was asked for.
std::string injections_text(const Report& report, const TextOptions& options);
/// schema forkscope.report/1, indented by 2, ends with a newline.
std::string report_json(const Report& report);

}  // namespace forkscope
