// The JSON report, schema forkscope.bench/1: the data, and what was derived from them. Described in
// docs/report-schema.md. Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

std::string result_json(const Result& result);
/// The data of such a document; what was derived is derived again. Throws std::runtime_error with
/// one sentence.
Result parse_result(const std::string& text);

/// The rows of a JSON document of forkscope-bench. Throws std::runtime_error.
std::vector<PriceRow> rows_of_ratios(const std::string& text, const std::string& command);

struct Compared;
std::string compared_json(const Compared& compared);

}  // namespace forkscope::cost
