#include "detector/cli/sweep_runs.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "detector/cli/failure.hpp"
#include "detector/cli/output.hpp"
#include "detector/cli/reporter.hpp"
#include "detector/cli/session_folder.hpp"
#include "detector/symbols/symbols.hpp"
#include "detector/verdict/foreign_text.hpp"
#include "detector/verdict/sweep.hpp"
#include "detector/verdict/words.hpp"
#include "scenarios/runner/processes.hpp"

namespace forkscope::cli {
namespace fs = std::filesystem;
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// Beyond the limit that `forkscope run` keeps itself: it ends the tree first, then reports.
constexpr auto kGrace = std::chrono::seconds(30);
constexpr auto kNoLimit = std::chrono::hours(24 * 365);
/// A forced run waits for a lock, may run beside others, and its deadlocks have to be noticed.
constexpr auto kLeastLimit = std::chrono::seconds(15);
constexpr int kTimesLearned = 10;

std::string own_path() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string last_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.find_last_of('\n') + 1);
}

scenario::Command command_in(std::vector<std::string> words, const std::string& session,
                             milliseconds limit) {
  scenario::Command command;
  command.arguments = std::move(words);
  command.limit = limit.count() > 0 ? limit + kGrace : milliseconds(kNoLimit);
  command.output_file = session + ".out";
  command.errors_file = session + ".err";
  return command;
}

std::vector<std::string> common_words(const std::string& forkscope, const std::string& session,
                                      milliseconds limit) {
  std::vector<std::string> words = {forkscope, "run", "--quiet", "--on-deadlock=kill",
                                    "--session=" + session};
  if (limit.count() > 0) words.push_back(fmt::format("--timeout={}ms", limit.count()));
  return words;
}

void add_program(std::vector<std::string>& words, const SweepPlan& plan, const SweepRow& row) {
  words.push_back(fmt::format("--seed={}", plan.seed));
  words.push_back("--inject=" + row.spec);
  if (!row.also.empty()) words.push_back("--inject=" + row.also);
  words.push_back("--");
  words.insert(words.end(), plan.command.begin(), plan.command.end());
}

std::string learning_options() {
  const char* own = std::getenv("FORKSCOPE_OPTIONS");
  return fmt::format("{}{}learn=on", own != nullptr ? own : "",
                     own != nullptr && *own != '\0' ? ":" : "");
}

Report report_of(const std::string& session, const StoredFacts& stored) {
  const auto namer = make_namer();
  return make_report(read_session(session), stored.facts, *namer);
}

/// The first lines of what the program said, for a sentence's end.
std::string first_lines(const std::string& text) {
  constexpr std::size_t kMostLines = 8, kMostOfLine = 200;
  std::string lines;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < kMostLines && begin < text.size(); ++i) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += "  " + bounded(std::string_view(text).substr(begin, end - begin), kMostOfLine) + "\n";
    begin = end + 1;
  }
  return begin < text.size() ? lines + "  ...\n" : lines;
}

/// A program that does not do its work when nothing is forced has nothing to compare with. Its own
/// deadlock is no such failure: that is what is looked for.
void refuse_failed(const SweepPlan& plan, milliseconds limit, const std::string& errors) {
  const SweepEnd& end = plan.learned;
  const bool well = !end.timed_out && !end.signal && end.exit == 0;
  if (well || plan.deadlocks > 0) return;
  const std::string how =
      end.timed_out ? fmt::format("did not end within the {:g} s of --timeout",
                                  std::chrono::duration<double>(limit).count())
      : end.signal ? "was ended by " + signal_word(*end.signal)
                   : fmt::format("ended with exit status {}", end.exit.value_or(-1));
  const std::string cure =
      end.timed_out ? "give more time, or make it do less"
                    : "make it end with 0 first, by `sh -c 'COMMAND || true'` if that is how it "
                      "ends when all is well";
  write_text(STDERR_FILENO, first_lines(errors));
  throw Failure(fmt::format("the program fails when nothing is forced: it {}{}; {}", how,
                            errors.empty() ? "" : ", and said the above", cure));
}

}  // namespace

std::string shell_line(const std::vector<std::string>& words) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::vector<std::string> run_words(const std::string& forkscope, const SweepPlan& plan,
                                   const SweepRow& row, const std::string& session) {
  std::vector<std::string> words = common_words(forkscope, session, plan.limit);
  add_program(words, plan, row);
  return words;
}

std::string line_to_repeat(const SweepPlan& plan, const SweepRow& row) {
  std::vector<std::string> words = {"forkscope", "run", "--on-deadlock=kill"};
  add_program(words, plan, row);
  return shell_line(words);
}

SweepPlan learn(const SweepFolder& folder, const std::vector<std::string>& command,
                milliseconds limit, std::uint64_t seed) {
  const std::string session = folder.learn();
  remove_session(session);
  std::vector<std::string> words = common_words(own_path(), session, limit);
  words.push_back("--");
  words.insert(words.end(), command.begin(), command.end());
  const Clock::time_point begin = Clock::now();
  int wait_status = 0;
  scenario::run_processes(
      1, 1,
      [&](std::size_t) {
        scenario::Command run = command_in(words, session, limit);
        run.environment = {{"FORKSCOPE_OPTIONS", learning_options()}};
        return run;
      },
      [&](std::size_t, const scenario::Result& result) { wait_status = result.wait_status; });
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);

  const StoredFacts stored = read_facts(session);
  if (!stored.finished) {  // the words are its own: it could not start the program
    const std::string said = last_line(text_of(session + ".err"));
    constexpr std::string_view kName = "forkscope: ";
    throw Failure(said.starts_with(kName) ? said.substr(kName.size())
                                          : "the program could not be learned: " + said,
                  WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : kForkscopeFailed);
  }
  const Report report = report_of(session, stored);
  SweepPlan plan;
  plan.command = command;
  plan.learned = end_of(report);
  plan.deadlocks = static_cast<std::uint64_t>(
      std::count_if(report.findings.begin(), report.findings.end(),
                    [](const Finding& finding) { return finding.severity == "deadlock"; }));
  plan.limit = limit.count() > 0 ? limit : milliseconds(kLeastLimit) + kTimesLearned * took;
  plan.seed = seed;
  refuse_failed(plan, limit, text_of(session + ".err"));
  plan.rows = sweep_plan(report);
  plan.untried = untried_locks(report);
  folder.write(plan);
  return plan;
}

void make_runs(const SweepFolder& folder, const SweepPlan& plan, std::size_t jobs,
               const std::function<void(const SweepRow& row)>& over) {
  std::vector<const SweepRow*> left;
  for (const SweepRow& row : plan.rows)
    if (!is_over(folder.run(row))) left.push_back(&row);
  scenario::run_processes(
      left.size(), jobs,
      [&](std::size_t i) {
        const std::string session = folder.run(*left[i]);
        remove_session(session);
        return command_in(run_words(own_path(), plan, *left[i], session), session, plan.limit);
      },
      [&](std::size_t i, const scenario::Result&) { over(*left[i]); });
}

SweepTable::Row row_of(const SweepPlan& plan, const SweepRow& row, const std::string& session) {
  SweepTable::Row result;
  result.row = row;
  result.command = line_to_repeat(plan, row);
  const StoredFacts stored = read_facts(session);
  if (!stored.finished) {
    const std::string said = last_line(text_of(session + ".err"));
    result.verdict.detail = said.empty() ? "the run was not made" : said;
    return result;
  }
  result.session = session;
  const Report report = report_of(session, stored);
  result.end = end_of(report);
  result.verdict = sweep_verdict(report, plan.learned);
  return result;
}

SweepTable::Row row_of(const std::string& session) {
  SweepTable::Row result;
  result.session = session;
  const StoredFacts stored = read_facts(session);
  const Report report = report_of(session, stored);
  SweepPlan plan;
  plan.command = stored.facts.command;
  plan.seed = report.seed.value_or(plan.seed);
  const InjectedReport* injected = decisive_injection(report);
  if (!report.inject.empty())
    result.row.spec = report.inject.front();
  else if (injected != nullptr)
    result.row.spec = injected->spec;
  if (report.inject.size() > 1) result.row.also = report.inject[1];
  if (injected != nullptr) result.row.lock = injected_words(*injected);
  result.command = line_to_repeat(plan, result.row);
  result.end = end_of(report);
  if (stored.finished)
    result.verdict = sweep_verdict(report, std::nullopt);
  else
    result.verdict.detail = "the run did not come to its end";
  return result;
}

SweepTable table_of(const SweepFolder& folder, const SweepPlan& plan) {
  SweepTable table;
  table.command = plan.command;
  table.folder = folder.path();
  table.learned = plan.learned;
  table.learned_deadlocks = plan.deadlocks;
  table.untried = plan.untried;
  for (const SweepRow& row : plan.rows) table.rows.push_back(row_of(plan, row, folder.run(row)));
  return table;
}

}  // namespace forkscope::cli
