// --suppressions, --baseline and --write-baseline: what a report leaves out, and what no longer
// makes a run fail. The files are read before anything is started. Thread-safe once made.
#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <vector>

#include "detector/cli/fail_on.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/verdict/report.hpp"
#include "detector/verdict/suppressions.hpp"

namespace forkscope::cli {

struct NoiseOptions {
  std::vector<std::string> suppressions;  ///< files
  std::string baseline;
  std::string write_baseline;
};

/// Adds --suppressions; `options` must outlive `command`.
void add_suppressions_option(CLI::App& command, NoiseOptions& options);
/// Adds all three.
void add_noise_options(CLI::App& command, NoiseOptions& options);

class NoiseFilter {
 public:
  NoiseFilter() = default;
  /// Reads the files, and checks that the one to be written can be. Throws Failure, "FILE:LINE: ..."
  /// where a line is wrong.
  explicit NoiseFilter(const NoiseOptions& options);

  const std::vector<SuppressionRule>& rules() const { return rules_; }
  /// Marks what the baseline accepts, if there is one.
  void compare(Report& report) const;
  /// Writes --write-baseline, if asked for. Throws Failure.
  void write(const Report& report) const;
  /// What a run fails on: with a baseline latent findings and graver ones, unless `asked`.
  FailOn fail_on(const FailOn& asked) const;

 private:
  std::vector<SuppressionRule> rules_;
  std::string baseline_file_;
  std::vector<BaselineEntry> baseline_;
  std::optional<ReportFile> written_;
};

}  // namespace forkscope::cli
