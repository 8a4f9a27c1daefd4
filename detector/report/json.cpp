// The JSON report of a run, schema forkscope.report/1.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "detector/report/json_parts.hpp"
#include "detector/report/print.hpp"

namespace forkscope {
namespace {

/// Puts the document together from its parts: as one tree, a session of many thousand forks would
/// take several times the memory of its text.
class Document {
 public:
  void field(const char* name, const Json& value) {
    begin_field(name);
    append(value, 1);
  }

  template <typename T>
  void fields(const char* name, const std::vector<T>& values) {
    begin_field(name);
    text_ += '[';
    for (const T& value : values) {
      text_ += &value == values.data() ? "\n    " : ",\n    ";
      append(to_json(value), 2);
    }
    text_ += values.empty() ? "]" : "\n  ]";
  }

  std::string finish() && {
    text_ += "\n}\n";
    return std::move(text_);
  }

 private:
  void begin_field(const char* name) {
    text_ += fmt::format("{}\n  \"{}\": ", text_.size() == 1 ? "" : ",", name);
  }

  /// As dump() writes it inside something that is `depth` levels deep.
  void append(const Json& json, int depth) {
    const std::string text = dumped(json);
    const std::string margin(static_cast<std::size_t>(depth) * 2, ' ');
    for (std::size_t begin = 0; begin < text.size();) {
      // Newlines inside strings are escaped, so each of these ends a line.
      const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
      text_.append(text, begin, end - begin);
      if (end < text.size()) text_ += margin;
      begin = end;
    }
  }

  std::string text_ = "{";
};

}  // namespace

std::string report_json(const Report& report) {
  Document document;
  document.field("schema", "forkscope.report/1");
  document.field("command", report.command);
  document.field("exit", number_or_null(report.exit));
  document.field("signal", number_or_null(report.signal));
  document.field("timed_out", report.timed_out);
  document.fields("forks", report.forks);
  document.fields("findings", report.findings);
  document.fields("not_observed", report.not_observed);
  document.field("summary", to_json(report.summary));
  document.fields("suppressed", report.suppressed);
  document.fields("suppressions", report.suppressions);
  document.field("baseline", to_json(report.baseline));
  document.field("seed", report.seed ? Json(*report.seed) : Json(nullptr));
  document.fields("injected", report.injected);
  return std::move(document).finish();
}

}  // namespace forkscope
