#include "detector/report/code_places.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostOfName = 200;

std::optional<CodePlace> first_place(const std::vector<CodeStep>& steps) {
  for (const CodeStep& step : steps)
    if (step.place) return step.place;
  return std::nullopt;
}

/// Where the thread meets the lock in code of its own: the innermost frame that counts.
std::optional<CodePlace> meeting_place(const std::string& root, const Finding::Waiter& waiter) {
  if (!waiter.python.empty())
    return place_under(root, waiter.python.front().file, waiter.python.front().line);
  const Frame* site = site_of(waiter.stack);
  return site == nullptr ? std::nullopt : place_under(root, site->file, site->line);
}

std::string words_of(const Frame& frame) {
  const std::string function =
      frame.function.empty() ? fmt::format("{:#x}", frame.offset) : frame.function;
  const std::string module = std::filesystem::path(frame.module).filename().string();
  return bounded(module.empty() ? function : function + " in " + module, kMostOfName);
}

}  // namespace

std::optional<CodePlace> place_under(const std::string& root, const std::string& file, int line) {
  if (root.empty() || file.empty() || file.front() == '<') return std::nullopt;
  namespace fs = std::filesystem;
  const fs::path absolute = (fs::path(root) / file).lexically_normal();
  const fs::path relative = absolute.lexically_relative(fs::path(root).lexically_normal());
  if (relative.empty() || relative == "." || *relative.begin() == "..") return std::nullopt;
  for (const fs::path& part : relative)
    if (part == "site-packages" || part == "dist-packages" || part == "node_modules")
      return std::nullopt;
  return CodePlace{relative.generic_string(), std::max(line, 1)};
}

std::vector<CodeStep> steps_of(const std::string& root, const std::vector<Frame>& stack,
                               const std::vector<PythonFrame>& python) {
  std::vector<CodeStep> steps;
  for (const PythonFrame& frame : python)
    steps.push_back(
        {bounded(frame.function, kMostOfName), place_under(root, frame.file, frame.line)});
  if (!steps.empty()) return steps;
  for (const Frame& frame : stack)
    steps.push_back({words_of(frame), place_under(root, frame.file, frame.line)});
  return steps;
}

std::optional<CodePlace> place_of(const std::string& root, const Finding& finding) {
  if (auto place = meeting_place(root, finding.waiter)) return place;
  if (auto place = first_place(steps_of(root, finding.fork_stack, finding.fork_python)))
    return place;
  if (auto place = first_place(steps_of(root, finding.waiter.stack, finding.waiter.python)))
    return place;
  return first_place(steps_of(root, finding.holder.acquired, finding.holder.python));
}

}  // namespace forkscope
