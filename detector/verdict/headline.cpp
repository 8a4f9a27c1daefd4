#include "detector/verdict/headline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "detector/verdict/code_origin.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// File and the folder it is in: enough to know it by, and short.
std::string short_path(const std::string& path) {
  const std::size_t name = path.rfind('/');
  if (name == std::string::npos || name == 0) return path;
  const std::size_t folder = path.rfind('/', name - 1);
  return folder == std::string::npos ? path : path.substr(folder + 1);
}

std::string line_words(const std::string& file, int line) {
  return short_path(file) + (line > 0 ? fmt::format(":{}", line) : "");
}

/// A wrapper that a decorator put around a function says nothing to who calls the function.
bool has_name_of_its_own(const std::string& function) {
  return !function.empty() && function.find('<') == std::string::npos;
}

/// The function that the user's line calls: the outermost frame inside it with a name.
std::string called_function(const std::vector<PythonFrame>& python, std::size_t own) {
  for (std::size_t i = own; i-- > 0;)
    if (has_name_of_its_own(python[i].function)) return python[i].function;
  return python[own].function;
}

std::string python_place(const std::vector<PythonFrame>& python) {
  for (std::size_t i = 0; i < python.size(); ++i) {
    if (python_origin(python[i].file) != Origin::kOwn) continue;
    const std::string function = called_function(python, i);
    const std::string place = line_words(python[i].file, python[i].line);
    return function.empty() || function == "<module>" ? place : place + " in " + function;
  }
  return "";
}

std::string code_place(const std::vector<Frame>& stack) {
  for (const Frame& frame : stack) {
    if (code_origin(frame) != Origin::kOwn || frame.function.empty()) continue;
    const std::string function = bare_function(frame.function);
    return frame.file.empty() ? function + " of " + base_name(frame.module)
                              : line_words(frame.file, frame.line) + " in " + function;
  }
  return "";
}

bool hangs(const Finding& finding) {
  if (finding.died || finding.outcome == "came back" || finding.outcome == "probe") return false;
  return finding.severity == "deadlock" || finding.severity == "latent" ||
         finding.certainty == "probable";
}

std::string verb(const Finding& finding) {
  if (finding.severity == "latent") return "can hang";
  if (finding.certainty == "probable") return "probably hangs";
  return finding.outcome == "acquired later" ? "hung" : "hangs";
}

std::string process_words(const Finding& finding) {
  return finding.program.empty() ? fmt::format("process {}", finding.process)
                                 : fmt::format("{} (pid {})", finding.program, finding.process);
}

bool any_in(const std::vector<Frame>& stack, const std::string& module) {
  return std::any_of(stack.begin(), stack.end(),
                     [&](const Frame& frame) { return frame.module == module; });
}

/// Whether a thread that was not copied is seen to run code of the library that waits.
bool lost_threads_are_its_own(const Finding& finding) {
  for (const Frame& frame : finding.waiter.stack) {
    if (code_origin(frame) == Origin::kStandard) continue;
    const Finding::Holder& holder = finding.holder;
    if (any_in(holder.acquired, frame.module) || any_in(holder.now, frame.module)) return true;
    if (holder.start && holder.start->module == frame.module) return true;
    return std::any_of(finding.lost.begin(), finding.lost.end(), [&](const ThreadReport& thread) {
      return thread.start && thread.start->module == frame.module;
    });
  }
  return false;
}

std::string lost_thread_words(const Finding& finding) {
  if (finding.library.empty()) return finding.verdict;
  if (lost_threads_are_its_own(finding))
    return fmt::format("the threads of {} were not copied by fork()", finding.library);
  return finding.library + " waits for a thread that was not copied by fork()";
}

/// Who had the lock when the process was forked, where a thread that was not copied had.
std::string orphaned_lock_words(const Finding& finding) {
  if (finding.holder.tid == 0 || finding.severity != "deadlock") return finding.verdict;
  return fmt::format("{} was held by {} at the fork", lock_words(finding.lock),
                     thread_words(finding.holder.tid, finding.holder.name));
}

std::string cause_words(const Finding& finding) {
  if (finding.kind == "lost-thread") return lost_thread_words(finding);
  if (finding.kind == "orphaned-lock" && finding.evidence != "waited-last")
    return orphaned_lock_words(finding);
  return finding.verdict;
}

std::string stem_of(const std::string& name) {
  const std::size_t last = name.find_last_not_of("0123456789");
  return last == std::string::npos ? name : name.substr(0, last + 1);
}

}  // namespace

std::string bare_function(const std::string& function) {
  constexpr std::size_t kLong = 48;
  if (function.size() <= kLong) return function;
  const std::size_t end = function.find_first_of("(<", 1);
  if (end != std::string::npos && end <= kLong) return function.substr(0, end);
  return function.substr(0, kLong) + "...";
}

std::string own_place(const std::vector<PythonFrame>& python, const std::vector<Frame>& stack) {
  const std::string place = python_place(python);
  return place.empty() ? code_place(stack) : place;
}

std::string headline_words(const Finding& finding) {
  if (!hangs(finding)) return process_words(finding) + " " + finding.verdict;
  std::string words = process_words(finding) + " " + verb(finding);
  const std::string place = own_place(finding.waiter.python, finding.waiter.stack);
  if (!place.empty()) words += " at " + place;
  return words + ": " + cause_words(finding);
}

std::vector<std::string> library_files(const Finding& finding) {
  std::vector<std::string> files;
  const auto& python = finding.waiter.python;
  std::size_t own = 0;
  while (own < python.size() && python_origin(python[own].file) != Origin::kOwn) ++own;
  // The library that the user's line calls, not one that this uses in turn.
  for (std::size_t i = own; i-- > 0;)
    if (python_origin(python[i].file) == Origin::kInstalled) files.push_back(python[i].file);
  for (const Frame& frame : finding.waiter.stack)
    if (code_origin(frame) == Origin::kInstalled) files.push_back(frame.module);
  return files;
}

std::vector<std::string> thread_groups(const std::vector<ThreadReport>& threads) {
  struct Group {
    std::string stem, first;
    std::size_t more = 0;
  };
  std::vector<Group> groups;
  for (const ThreadReport& thread : threads) {
    const std::string stem = stem_of(thread.name);
    const auto known = std::find_if(groups.begin(), groups.end(),
                                    [&](const Group& group) { return group.stem == stem; });
    if (known != groups.end())
      ++known->more;
    else
      groups.push_back({stem, thread.name.empty() ? thread_words(thread.tid, "") : thread.name});
  }
  std::vector<std::string> words;
  for (const Group& group : groups)
    words.push_back(group.first + (group.more == 0 ? "" : fmt::format(" and {} more", group.more)));
  return words;
}

}  // namespace forkscope
