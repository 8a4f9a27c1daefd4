// Printers of a Diagnosis. No logic beyond layout. Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/report/print.hpp"
#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope {

/// The answer in the first line, then why, each blocked thread, what was left behind, the cure.
std::string diagnosis_text(const Diagnosis& diagnosis, const TextOptions& options);
/// schema forkscope.attach/1, indented by 2, ends with a newline. `ancestors` are those of
/// --follow-parent, nearest first.
std::string diagnosis_json(const Diagnosis& diagnosis, const std::vector<Diagnosis>& ancestors);

/// What `forkscope scan` saw.
struct ScanResult {
  std::size_t looked_at = 0;
  std::size_t unreadable = 0;  ///< processes that could be deadlocked and do not let us look
  std::vector<Diagnosis> found;
  std::uint64_t suppressed = 0;          ///< that a rule of --suppressions left out
  std::vector<RuleUse> suppressions{};  ///< every rule given
};

/// A table, one line a process, or with options.verbose every diagnosis; empty when nothing was
/// found.
std::string scan_text(const ScanResult& result, const TextOptions& options);
/// schema forkscope.scan/1.
std::string scan_json(const ScanResult& result);

}  // namespace forkscope
