// The catalogue and the results of runs as Markdown, for docs/. The catalogue depends on the
// programs alone, so a test can compare it with the page. Layout only, no verdicts.
#pragma once

#include <string>
#include <vector>

#include "scenarios/runner/catalogue.hpp"
#include "scenarios/runner/outcome.hpp"

namespace forkscope::scenario {

/// A row of a table; a `|` in a cell is escaped.
std::string markdown_row(const std::vector<std::string>& cells);
/// The row of names, and the rule below it.
std::string markdown_head(const std::vector<std::string>& names);

/// A section for each scenario, with what each method promises.
std::string catalogue_markdown(const std::vector<Entry>& catalogue);

/// One row for each scenario and method, one column for each way it was run in.
std::string cases_markdown(const std::vector<Case>& cases);

}  // namespace forkscope::scenario
