// The JSON report, schema forkscope.report/1: docs/report-schema.md describes every field.
// Field order is fixed, absent knowledge is null, addresses are hexadecimal strings because JSON
// numbers lose the low bits of large ones.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "detector/report/print.hpp"

namespace forkscope {
namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json hex(std::uint64_t value) { return fmt::format("{:#x}", value); }
Json number_or_null(const std::optional<int>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json to_json(const Frame& frame) {
  return Json{{"address", hex(frame.address)},
              {"module", text_or_null(frame.module)},
              {"offset", frame.module.empty() ? Json(nullptr) : hex(frame.offset)},
              {"function", text_or_null(frame.function)},
              {"file", text_or_null(frame.file)},
              {"line", frame.line > 0 ? Json(frame.line) : Json(nullptr)},
              {"inlined", frame.inlined}};
}

Json to_json(const std::optional<Frame>& frame) { return frame ? to_json(*frame) : Json(nullptr); }

Json to_json(const LockInfo& lock);
Json to_json(const ThreadReport& thread);
Json to_json(const HeldReport& held);
Json to_json(const ForkReport& fork);
Json to_json(const Finding& finding);
Json to_json(const NotObservedProgram& program);

template <typename T>
Json array(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(to_json(value));
  return json;
}

Json to_json(const LockInfo& lock) {
  // A descriptor, a fork and a call have no address.
  const bool nowhere = lock.descriptor || (lock.address == 0 && lock.type.empty());
  return Json{{"address", nowhere ? Json(nullptr) : hex(lock.address)},
              {"type", text_or_null(lock.type)},
              {"symbol", text_or_null(lock.symbol)},
              {"module", text_or_null(lock.module)},
              {"offset", lock.module.empty() ? Json(nullptr) : hex(lock.offset)},
              {"mode", text_or_null(lock.mode)},
              {"shared", lock.shared},
              {"descriptor", number_or_null(lock.descriptor)}};
}

Json to_json(const ThreadReport& thread) {
  return Json{{"tid", thread.tid},
              {"name", text_or_null(thread.name)},
              {"start", to_json(thread.start)},
              {"state", thread.state},
              {"wait_object", thread.wait_object == 0 ? Json(nullptr) : hex(thread.wait_object)},
              {"held", thread.held},
              {"forker", thread.forker}};
}

Json to_json(const HeldReport& held) {
  return Json{{"lock", to_json(held.lock)},
              {"owner", held.owner},
              {"self", held.self},
              {"evidence", text_or_null(held.evidence)},
              {"acquired", to_json(held.acquired)}};
}

Json to_json(const ForkReport& fork) {
  return Json{{"id", fork.id},
              {"api", fork.api},
              {"pid", fork.pid},
              {"tid", fork.tid},
              {"child", fork.child == 0 ? Json(nullptr) : Json(fork.child)},
              {"time", fork.time},
              {"caller", to_json(fork.caller)},
              {"threads", array(fork.threads)},
              {"threads_total", fork.threads_total},
              {"held", array(fork.held)},
              {"dropped_locks", fork.dropped_locks},
              {"outcome", fork.outcome},
              {"status", number_or_null(fork.status)},
              // Not recorded yet. An empty list would say that there are none.
              {"handlers", nullptr}};
}

Json to_json(const Finding::Holder& holder) {
  if (holder.tid == 0 && !holder.start && holder.name.empty() && holder.acquired.empty()) {
    return nullptr;
  }
  return Json{{"tid", holder.tid == 0 ? Json(nullptr) : Json(holder.tid)},
              {"name", text_or_null(holder.name)},
              {"start", to_json(holder.start)},
              {"acquired", array(holder.acquired)},
              {"acquired_complete", holder.acquired_complete},
              {"creator", array(holder.creator)},
              {"exited", holder.exited}};
}

Json to_json(const Finding::Waiter& waiter) {
  if (waiter.tid == 0) return nullptr;
  return Json{
      {"tid", waiter.tid}, {"call", text_or_null(waiter.call)}, {"stack", array(waiter.stack)}};
}

Json range_json(const std::optional<Finding::Range>& range) {
  if (!range) return nullptr;
  return Json{{"begin", hex(range->begin)}, {"end", hex(range->end)}};
}

Json to_json(const Finding& finding) {
  return Json{{"kind", finding.kind},
              {"severity", finding.severity},
              {"evidence", text_or_null(finding.evidence)},
              {"process", finding.process},
              {"program", text_or_null(finding.program)},
              {"fork", finding.fork},
              {"verdict", finding.verdict},
              {"lock", to_json(finding.lock)},
              {"holder", to_json(finding.holder)},
              {"waiter", to_json(finding.waiter)},
              {"fork_stack", array(finding.fork_stack)},
              {"lost", array(finding.lost)},
              {"file", text_or_null(finding.lock.file)},
              {"range", range_json(finding.range)},
              {"advice", text_or_null(finding.advice)},
              {"explanation", finding.explanation},
              {"cure", finding.cure},
              {"outcome", text_or_null(finding.outcome)},
              {"count", finding.count}};
}

Json to_json(const NotObservedProgram& program) {
  return Json{{"pid", program.pid},
              {"path", program.path},
              {"reason", program.reason},
              {"count", program.count}};
}

Json to_json(const Summary& summary) {
  return Json{{"forks", summary.forks},
              {"failed", summary.failed},
              {"execed", summary.execed},
              {"finished", summary.finished},
              {"signalled", summary.signalled},
              {"deadlocked", summary.deadlocked},
              {"running", summary.running},
              {"unknown", summary.unknown},
              {"unrecorded", summary.unrecorded},
              {"hazards", summary.hazards},
              {"notes", summary.notes},
              {"died", summary.died},
              {"safe", summary.safe},
              {"apis", summary.apis},
              {"dropped_records", summary.dropped_records},
              {"dropped_locks", summary.dropped_locks},
              {"dropped_threads", summary.dropped_threads},
              {"abandoned_locks", summary.abandoned_locks}};
}

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

  /// As dump() writes it inside something that is `depth` levels deep. Bytes that are no UTF-8
  /// (paths and thread names may be anything) are replaced rather than refused.
  void append(const Json& json, int depth) {
    const std::string dumped = json.dump(2, ' ', false, Json::error_handler_t::replace);
    const std::string margin(static_cast<std::size_t>(depth) * 2, ' ');
    for (std::size_t begin = 0; begin < dumped.size();) {
      // Newlines inside strings are escaped, so each of these ends a line.
      const std::size_t end = std::min(dumped.find('\n', begin), dumped.size() - 1) + 1;
      text_.append(dumped, begin, end - begin);
      if (end < dumped.size()) text_ += margin;
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
  return std::move(document).finish();
}

}  // namespace forkscope
