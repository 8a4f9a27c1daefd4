#include "scenarios/runner/compare.hpp"

#include <fmt/format.h>

#include <sstream>

#include "scenarios/runner/processes.hpp"

namespace forkscope::scenario {
namespace {

/// Valgrind and the sanitizers make a program tens of times slower to start and to end.
constexpr std::chrono::seconds kLimitBeyondPatience{60};
constexpr const char* kNamePlace = "{name}";

/// The first words of what Helgrind and DRD report, and what to call it.
struct Headline {
  const char* words;
  const char* kind;
};
constexpr Headline kHeadlines[] = {
    {"Possible data race", "data race"},
    {"Conflicting load", "data race"},
    {"Conflicting store", "data race"},
    {"lock order", "lock order"},
    {"still holds", "lock held at exit"},
    {"unlocked a not-locked lock", "unlock"},
    {"Mutex not locked", "unlock"},
    {"Mutex is already locked", "relock"},
    {"Recursive locking", "relock"},
    {"Attempt to re-lock", "relock"},
    {"pthread_cond_signal", "condition variable"},
    {"condition variable", "condition variable"},
};

unsigned long number_after(const std::string& line, const std::string& words) {
  const auto found = line.find(words);
  if (found == std::string::npos) return 0;
  std::string digits;  // "1,024"
  for (std::size_t at = found + words.size(); at < line.size() && line[at] != ' '; ++at)
    if (line[at] != ',') digits += line[at];
  return digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos
             ? 0
             : std::stoul(digits);
}

}  // namespace

Detector parse_detector(const std::string& text) {
  const auto equals = text.find('='), space = text.find(' ');
  if (equals == std::string::npos || equals == 0 || equals > space) return {text, text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string command_under(const Detector& detector, const Chosen& chosen,
                          std::chrono::milliseconds patience) {
  std::string command = detector.command;
  bool placed = false;
  for (std::size_t at; (at = command.find(kNamePlace)) != std::string::npos; placed = true)
    command.replace(at, std::string(kNamePlace).size(), chosen.entry->description.name);
  if (!placed) command += " " + quoted(chosen.entry->program.string());
  return fmt::format("{} --method={} --patience={}", command, chosen.method->name,
                     patience.count());
}

Said read_said(const Result& result) {
  Said said;
  said.end = read_outcome(result, std::nullopt).end;
  said.status = result.wait_status;
  if (result.errors.find_first_not_of(" \n") == std::string::npos) said.errors = 0;
  const std::string kSummary = "ERROR SUMMARY: ", kSanitizer = "WARNING: ThreadSanitizer: ";
  std::istringstream lines(result.errors);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(kSummary) != std::string::npos)
      said.errors = said.errors.value_or(0) + number_after(line, kSummary);
    if (const auto found = line.find(kSanitizer); found != std::string::npos) {
      const std::string kind = line.substr(found + kSanitizer.size());
      ++said.kinds[kind.substr(0, kind.find(" ("))];
      said.errors = said.errors.value_or(0) + 1;
    }
    if (!line.starts_with("==")) continue;
    for (const auto& [words, kind] : kHeadlines)
      if (line.find(words) != std::string::npos) {
        ++said.kinds[kind];
        break;
      }
  }
  return said;
}

std::string said_text(const Said& said) {
  if (!said.errors) return "?";
  std::string text = fmt::format("{} error{}", *said.errors, *said.errors == 1 ? "" : "s");
  if (*said.errors == 0) return text;
  const char* before = ": ";
  for (const auto& [kind, count] : said.kinds) {
    text += before + kind;
    before = ", ";
  }
  return text;
}

std::vector<Compared> run_comparison(const Campaign& campaign,
                                     const std::vector<Detector>& detectors,
                                     const std::vector<Entry>& catalogue,
                                     const Progress& progress) {
  Campaign ours = campaign;
  ours.how = {How::kShim, How::kLucky};
  std::vector<Compared> all;
  for (Case& each : run_campaign(ours, catalogue, progress))
    all.push_back({std::move(each), std::vector<std::vector<Said>>(detectors.size())});

  const std::vector<Chosen> chosen = choose(catalogue, campaign.scenarios, campaign.methods);
  const std::size_t cells = chosen.size() * detectors.size(), runs = cells * campaign.repeat;
  std::size_t over = 0;
  run_processes(
      runs, campaign.jobs,
      [&](std::size_t run) {
        const std::size_t cell = run % cells;
        return Command{{"/bin/sh", "-c",
                        command_under(detectors[cell % detectors.size()],
                                      chosen[cell / detectors.size()], campaign.patience)},
                       {},
                       campaign.patience + kLimitBeyondPatience};
      },
      [&](std::size_t run, const Result& result) {
        const std::size_t cell = run % cells, which = cell % detectors.size();
        all[cell / detectors.size()].others[which].push_back(read_said(result));
        progress(
            ++over, runs,
            chosen[cell / detectors.size()].entry->description.name + " " + detectors[which].name);
      });
  return all;
}

}  // namespace forkscope::scenario
