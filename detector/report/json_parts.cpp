#include "detector/report/json_parts.hpp"

#include <fmt/format.h>

namespace forkscope {

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

Json to_json(const PythonFrame& frame) {
  return Json{{"function", frame.function},
              {"file", text_or_null(frame.file)},
              {"line", frame.line > 0 ? Json(frame.line) : Json(nullptr)}};
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
              {"descriptor", number_or_null(lock.descriptor)},
              {"name", text_or_null(lock.name)}};
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

static Json to_json(const std::optional<HandlerReport::Run>& run, bool passed_by) {
  if (!run) return nullptr;
  return Json{{"function", to_json(run->function)},
              {"nanoseconds", passed_by ? Json(nullptr) : Json(run->nanoseconds)},
              {"taken", array(run->taken)},
              {"released", array(run->released)},
              {"left", array(run->left)}};
}

Json to_json(const HandlerReport& handler) {
  return Json{{"order", handler.order},
              {"registered", to_json(handler.registered)},
              {"passed_by", handler.passed_by},
              {"prepare", to_json(handler.prepare, handler.passed_by)},
              {"parent", to_json(handler.parent, handler.passed_by)},
              {"child", to_json(handler.child, handler.passed_by)}};
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
              {"handlers", fork.handlers ? array(*fork.handlers) : Json(nullptr)},
              {"declared_safe", text_or_null(fork.declared_safe)}};
}

static Json to_json(const std::optional<Finding::Handler>& handler) {
  if (!handler) return nullptr;
  return Json{{"phase", text_or_null(handler->phase)},
              {"order", handler->order == 0 ? Json(nullptr) : Json(handler->order)},
              {"function", to_json(handler->function)},
              {"registered", to_json(handler->registered)}};
}

static Json to_json(const Finding::Holder& holder) {
  if (holder.tid == 0 && !holder.start && holder.name.empty() && holder.acquired.empty()) {
    return nullptr;
  }
  return Json{{"tid", holder.tid == 0 ? Json(nullptr) : Json(holder.tid)},
              {"name", text_or_null(holder.name)},
              {"start", to_json(holder.start)},
              {"acquired", array(holder.acquired)},
              {"acquired_complete", holder.acquired_complete},
              {"creator", array(holder.creator)},
              {"exited", holder.exited},
              {"uses", holder.uses},
              {"held_share", holder.held_share ? Json(*holder.held_share) : Json(nullptr)},
              {"now", array(holder.now)},
              {"python", array(holder.python)}};
}

static Json to_json(const Finding::Waiter& waiter) {
  if (waiter.tid == 0) return nullptr;
  return Json{{"tid", waiter.tid},
              {"call", text_or_null(waiter.call)},
              {"stack", array(waiter.stack)},
              {"python", array(waiter.python)}};
}

static Json range_json(const std::optional<Finding::Range>& range) {
  if (!range) return nullptr;
  return Json{{"begin", hex(range->begin)}, {"end", hex(range->end)}};
}

static Json to_json(const Finding::LibcCall& libc) {
  return Json{{"function", libc.function},
              {"family", libc.family},
              {"lock", libc.lock},
              {"at_fork", libc.at_fork},
              {"reset_since", text_or_null(libc.reset_since)},
              {"holder_function", text_or_null(libc.holder_function)}};
}

/// What all findings have.
static Json common_json(const Finding& finding) {
  return Json{{"kind", finding.kind},
              {"severity", finding.severity},
              {"certainty", finding.certainty},
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
              {"handler", to_json(finding.handler)},
              {"explanation", finding.explanation},
              {"cure", finding.cure},
              {"outcome", text_or_null(finding.outcome)},
              {"count", finding.count},
              {"fingerprint", text_or_null(finding.fingerprint)},
              {"declared_safe", text_or_null(finding.declared_safe)},
              {"known", finding.known}};
}

Json to_json(const RuleUse& rule) {
  return Json{{"rule", rule.rule}, {"file", rule.file}, {"line", rule.line}, {"hits", rule.hits}};
}

static Json to_json(const BaselineEntry& entry) {
  return Json{{"fingerprint", entry.fingerprint},
              {"severity", entry.severity},
              {"comment", text_or_null(entry.comment)}};
}

Json to_json(const std::optional<BaselineUse>& baseline) {
  if (!baseline) return nullptr;
  return Json{{"file", baseline->file}, {"missing", array(baseline->missing)}};
}

Json to_json(const Finding& finding) {
  Json json = common_json(finding);
  if (finding.libc) json["libc"] = to_json(*finding.libc);
  return json;
}

Json to_json(const InjectedReport& injected) {
  return Json{{"spec", injected.spec},
              {"point", injected.point},
              {"action", injected.action},
              {"pid", injected.pid},
              {"tid", injected.tid},
              {"time", injected.time},
              {"fork", injected.fork == 0 ? Json(nullptr) : Json(injected.fork)},
              {"result", injected.result},
              {"lock", injected.lock ? to_json(*injected.lock) : Json(nullptr)},
              {"holder", injected.holder == 0 ? Json(nullptr) : Json(injected.holder)},
              {"caller", to_json(injected.caller)},
              {"function", text_or_null(injected.function)},
              {"errno", text_or_null(injected.error)},
              {"probed", text_or_null(injected.probed)},
              {"count", injected.times},
              {"stack", array(injected.stack)}};
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
              {"abandoned_locks", summary.abandoned_locks},
              {"dropped_handlers", summary.dropped_handlers},
              {"full_histories", summary.full_histories},
              {"cramped", summary.cramped},
              {"suppressed", summary.suppressed},
              {"known", summary.known},
              {"declared_safe", summary.declared_safe},
              {"injected", summary.injected}};
}

std::string dumped(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace forkscope
