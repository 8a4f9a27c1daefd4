#include "detector/cli/finding_files.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "detector/report/junit.hpp"
#include "detector/report/sarif.hpp"

namespace forkscope::cli {
namespace {

namespace fs = std::filesystem;

/// The folder with .git at or above the working directory; without one the working directory.
std::string repository() {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  for (fs::path folder = here; !folder.empty(); folder = folder.parent_path()) {
    if (fs::exists(folder / ".git", error)) return folder.string();
    if (folder == folder.root_path()) break;
  }
  return here.string();
}

std::string base_name(const std::string& program) {
  const std::string name = fs::path(program).filename().string();
  return name.empty() ? "program" : name;
}

void add_findings(const Diagnosis& diagnosis, std::vector<const Finding*>& findings) {
  if (diagnosis.finding) findings.push_back(&*diagnosis.finding);
  for (const auto& alike : alike_children(diagnosis)) add_findings(*alike.front(), findings);
}

bool graver(const Finding* left, const Finding* right) {
  return left->severity == "deadlock" && right->severity != "deadlock";
}

}  // namespace

void add_finding_file_options(CLI::App& command, FindingFileOptions& options) {
  command.add_option("--sarif", options.sarif, "Write the findings as SARIF 2.1.0 to this file")
      ->type_name("FILE");
  command.add_option("--junit", options.junit, "Write the findings as JUnit XML to this file")
      ->type_name("FILE");
}

FindingFiles::FindingFiles(const FindingFileOptions& options, std::string suite)
    : suite_(std::move(suite)) {
  if (!options.sarif.empty()) sarif_.emplace(options.sarif, "--sarif");
  if (!options.junit.empty()) junit_.emplace(options.junit, "--junit");
}

void FindingFiles::write(const std::vector<const Finding*>& findings,
                         const std::string& program) const {
  if (sarif_) sarif_->write(findings_sarif(findings, {repository(), base_name(program)}));
  if (junit_) junit_->write(findings_junit(findings, suite_));
}

void FindingFiles::write(const Report& report) const {
  std::vector<const Finding*> findings;
  for (const Finding& finding : report.findings) findings.push_back(&finding);
  write(findings, report.command.empty() ? "" : report.command.front());
}

std::vector<const Finding*> findings_of(const std::vector<const Diagnosis*>& diagnoses) {
  std::vector<const Finding*> findings;
  for (const Diagnosis* diagnosis : diagnoses) add_findings(*diagnosis, findings);
  std::stable_sort(findings.begin(), findings.end(), graver);
  return findings;
}

}  // namespace forkscope::cli
