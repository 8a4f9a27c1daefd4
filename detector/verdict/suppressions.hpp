// Suppression rules: what the reader of a report does not want to be told again.
//
//   # a comment
//   orphaned-lock:libfoo*       kind, or * for any; then a pattern with * and ?
//   *:Logger::write             also after blanks a comment  # like this
//
// A pattern is compared with the whole of: the lock's variable, its given name and its module (path
// and file name), and every function of every stack, with and without its parameters. Nothing else
// is special in it: "operator[]" and "f(char*)" match themselves.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// Reads the text of `file`. Throws std::runtime_error, "FILE:LINE: ..." with what was expected.
std::vector<SuppressionRule> parse_suppressions(std::string_view text, const std::string& file);

bool matches(const SuppressionRule& rule, const Finding& finding);

/// Counts a hit for every rule that matches; gives whether there was one. `uses` are of `rules`.
bool is_suppressed(const Finding& finding, const std::vector<SuppressionRule>& rules,
                   std::vector<RuleUse>& uses);
std::vector<RuleUse> unused(const std::vector<SuppressionRule>& rules);

/// Whether all of `text` is `pattern`, where * stands for any characters and ? for one.
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace forkscope
