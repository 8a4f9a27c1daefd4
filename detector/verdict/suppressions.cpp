#include "detector/verdict/suppressions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/foreign_text.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// A # begins a comment at the start of a line or after a blank: "{lambda()#1}" is a function.
std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i)
    if (line[i] == '#' && (i == 0 || kBlanks.find(line[i - 1]) != std::string_view::npos))
      return line.substr(0, i);
  return line;
}

std::vector<std::string> all_kinds() {
  std::vector<std::string> kinds;
  for (unsigned i = 0; i <= static_cast<unsigned>(record::kLastKind); ++i)
    kinds.push_back(kind_word(static_cast<record::Kind>(i)));
  return kinds;
}

[[noreturn]] void refuse(const std::string& file, int line, const std::string& why) {
  throw std::runtime_error(fmt::format("{}:{}: {}", file, line, why));
}

SuppressionRule parse_rule(std::string_view text, const std::string& file, int line) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.substr(colon).starts_with("::"))
    refuse(file, line,
           fmt::format("{} has no kind; expected kind:pattern, as in orphaned-lock:libfoo* or "
                       "*:Logger::write",
                       in_quotes(text)));
  SuppressionRule rule{std::string(trimmed(text.substr(0, colon))),
                       std::string(trimmed(text.substr(colon + 1))), file, line};
  const std::vector<std::string> kinds = all_kinds();
  if (rule.kind != "*" && std::find(kinds.begin(), kinds.end(), rule.kind) == kinds.end())
    refuse(file, line, fmt::format("{} is no kind of finding; expected * or one of {}",
                                   in_quotes(rule.kind), fmt::join(kinds, ", ")));
  if (rule.pattern.empty())
    refuse(file, line,
           fmt::format("{} has nothing after the colon; expected a function, a variable or a "
                       "module, as in {}:libfoo*",
                       in_quotes(text), rule.kind));
  return rule;
}

bool matches_function(std::string_view pattern, const std::string& function) {
  return !function.empty() && (matches_pattern(pattern, function) ||
                               matches_pattern(pattern, without_parameters(function)));
}

bool matches_stack(std::string_view pattern, const std::vector<Frame>& stack) {
  return std::any_of(stack.begin(), stack.end(), [&](const Frame& frame) {
    return matches_function(pattern, frame.function);
  });
}

bool matches_stack(std::string_view pattern, const std::vector<PythonFrame>& stack) {
  return std::any_of(stack.begin(), stack.end(), [&](const PythonFrame& frame) {
    return matches_function(pattern, frame.function);
  });
}

bool matches_lock(std::string_view pattern, const LockInfo& lock) {
  for (const std::string& text : {lock.name, lock.symbol, lock.module, base_name(lock.module),
                                  lock.file, base_name(lock.file)})
    if (!text.empty() && matches_pattern(pattern, text)) return true;
  return false;
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) {
  // Where the last * was, and how much of the text it has taken so far.
  std::size_t p = 0, t = 0, star = std::string_view::npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::vector<SuppressionRule> parse_suppressions(std::string_view text, const std::string& file) {
  std::vector<SuppressionRule> rules;
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    ++number;
    const std::string_view line = trimmed(without_comment(text.substr(0, end)));
    if (!line.empty()) rules.push_back(parse_rule(line, file, number));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return rules;
}

bool matches(const SuppressionRule& rule, const Finding& finding) {
  if (rule.kind != "*" && rule.kind != finding.kind) return false;
  const std::string& pattern = rule.pattern;
  const Finding::Holder& holder = finding.holder;
  if (matches_lock(pattern, finding.lock)) return true;
  if (holder.start && matches_function(pattern, holder.start->function)) return true;
  for (const auto* stack : {&holder.acquired, &holder.creator, &holder.now, &finding.waiter.stack,
                            &finding.fork_stack})
    if (matches_stack(pattern, *stack)) return true;
  return matches_stack(pattern, holder.python) || matches_stack(pattern, finding.waiter.python);
}

std::vector<RuleUse> unused(const std::vector<SuppressionRule>& rules) {
  std::vector<RuleUse> uses;
  for (const SuppressionRule& rule : rules)
    uses.push_back({rule.kind + ":" + rule.pattern, rule.file, rule.line, 0});
  return uses;
}

bool is_suppressed(const Finding& finding, const std::vector<SuppressionRule>& rules,
                   std::vector<RuleUse>& uses) {
  bool suppressed = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!matches(rules[i], finding)) continue;
    uses[i].hits += finding.count;
    suppressed = true;
  }
  return suppressed;
}

}  // namespace forkscope
