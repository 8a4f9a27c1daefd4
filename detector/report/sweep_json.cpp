// The JSON document of a sweep, schema forkscope.sweep/1.
#include "detector/report/json_parts.hpp"
#include "detector/report/print_sweep.hpp"

namespace forkscope {
namespace {

Json to_json(const std::optional<SweepEnd>& end) {
  if (!end) return nullptr;
  return {{"exit", number_or_null(end->exit)},
          {"signal", number_or_null(end->signal)},
          {"timed_out", end->timed_out}};
}

Json to_json(const SweepTable::Row& row) {
  return {{"id", text_or_null(row.row.id)},
          {"spec", text_or_null(row.row.spec)},
          {"also", text_or_null(row.row.also)},
          {"lock", text_or_null(row.row.lock)},
          {"suspected", row.row.suspected},
          {"result", sweep_result_word(row.verdict.result)},
          {"detail", text_or_null(row.verdict.detail)},
          {"protector", text_or_null(row.verdict.protector)},
          {"fingerprint", text_or_null(row.verdict.fingerprint)},
          {"site", text_or_null(row.verdict.site)},
          {"end", to_json(row.end)},
          {"command", text_or_null(row.command)},
          {"session", text_or_null(row.session)}};
}

Json to_json(const SweepCounts& counts) {
  return {{"deadlocked", counts.deadlocked},   {"deadlocked_elsewhere", counts.elsewhere},
          {"survived", counts.survived},       {"protected", counts.protected_},
          {"not_reached", counts.not_reached}, {"failed", counts.failed},
          {"missing", counts.missing}};
}

}  // namespace

std::string sweep_json(const SweepTable& table) {
  Json rows = Json::array();
  for (const SweepTable::Row& row : table.rows) rows.push_back(to_json(row));
  const Json document = {{"schema", "forkscope.sweep/1"},
                         {"command", table.command},
                         {"folder", text_or_null(table.folder)},
                         {"learned", to_json(table.learned)},
                         {"learned_deadlocks", table.learned_deadlocks},
                         {"rows", rows},
                         {"untried", table.untried},
                         {"summary", to_json(counts_of(table))}};
  return dumped(document) + "\n";
}

}  // namespace forkscope
