// The runs of a sweep: their command lines, and what their sessions say. Not thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "detector/cli/sweep_folder.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope::cli {

/// Words for a shell, quoted where it would read them otherwise.
std::string shell_line(const std::vector<std::string>& words);

/// `forkscope run ...` of a row, with its session in the folder.
std::vector<std::string> run_words(const std::string& forkscope, const SweepPlan& plan,
                                   const SweepRow& row, const std::string& session);
/// The same for people, who need no session.
std::string line_to_repeat(const SweepPlan& plan, const SweepRow& row);

/// Runs the program once, without forcing anything, and makes the plan. `limit`: of this run and,
/// unless zero, of the others.
SweepPlan learn(const SweepFolder& folder, const std::vector<std::string>& command,
                std::chrono::milliseconds limit, std::uint64_t seed);

/// Makes those runs that are not over, `jobs` at a time. `over` is called after each.
void make_runs(const SweepFolder& folder, const SweepPlan& plan, std::size_t jobs,
               const std::function<void(const SweepRow& row)>& over);

/// What the session of a run says; `session` is its folder.
SweepTable::Row row_of(const SweepPlan& plan, const SweepRow& row, const std::string& session);
/// The same for a session of which nothing else is known.
SweepTable::Row row_of(const std::string& session);

SweepTable table_of(const SweepFolder& folder, const SweepPlan& plan);

}  // namespace forkscope::cli
