// --sarif and --junit: the findings of a command in the forms that machines read, beside its text.
// Not thread-safe.
#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <vector>

#include "detector/cli/report_file.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope::cli {

struct FindingFileOptions {
  std::string sarif, junit;  ///< files; empty: not asked for
};

/// Adds both options; `options` must outlive `command`.
void add_finding_file_options(CLI::App& command, FindingFileOptions& options);

class FindingFiles {
 public:
  /// Checks that the files can be written. `suite` names the command. Throws Failure.
  FindingFiles(const FindingFileOptions& options, std::string suite);

  /// Findings of `program`, gravest first. Throws Failure.
  void write(const std::vector<const Finding*>& findings, const std::string& program) const;
  void write(const Report& report) const;

 private:
  std::string suite_;
  std::optional<ReportFile> sarif_, junit_;
};

/// Those of the processes and of what hangs below them; one where several hang alike.
std::vector<const Finding*> findings_of(const std::vector<const Diagnosis*>& diagnoses);

}  // namespace forkscope::cli
