// The JSON documents of looks from outside, schemas forkscope.attach/1 and forkscope.scan/1:
// docs/report-schema.md.
#include "detector/report/json_parts.hpp"
#include "detector/report/print_diagnosis.hpp"
#include "detector/verdict/outside/outside_words.hpp"

namespace forkscope {
namespace {

Json lock_json(const ThreadDiagnosis& thread) {
  if (!thread.lock) return nullptr;
  const RecognisedLock& lock = *thread.lock;
  Json json = to_json(thread.place);
  json["family"] = family_word(lock.family);
  json["confidence"] = confidence_word(lock.confidence);
  json["owner"] = lock.owner == 0 ? Json(nullptr) : Json(lock.owner);
  json["held"] = lock.held;
  json["state"] = text_or_null(lock.state);
  return json;
}

Json owner_json(const LockOwner& owner) {
  if (owner.tid == 0) return nullptr;
  return Json{{"where", where_word(owner.where)},
              {"pid", owner.pid == 0 ? Json(nullptr) : Json(owner.pid)},
              {"tid", owner.tid},
              {"name", text_or_null(owner.name)},
              {"start", to_json(owner.start)},
              {"stack", array(owner.stack)},
              {"python", array(owner.python)}};
}

Json to_json(const ThreadDiagnosis& thread) {
  return Json{{"tid", thread.tid},
              {"name", text_or_null(thread.name)},
              {"does", thread.does},
              {"for_ever", thread.for_ever},
              {"lock", lock_json(thread)},
              {"owner", owner_json(thread.owner)},
              {"stack", array(thread.stack)},
              {"stack_complete", thread.stack_complete},
              {"python", array(thread.python)}};
}

Json to_json(const Missing& missing) {
  return Json{
      {"what", missing.what}, {"why", missing.why}, {"cure", text_or_null(missing.cure)}};
}

Json process_json(const Diagnosis& diagnosis) {
  return Json{{"pid", diagnosis.pid},
              {"parent", diagnosis.parent},
              {"program", text_or_null(diagnosis.program)},
              {"command", diagnosis.command},
              {"forked", diagnosis.forked ? Json(*diagnosis.forked) : Json(nullptr)},
              {"age_seconds", diagnosis.age_seconds},
              {"forked_by", diagnosis.forked_by == 0 ? Json(nullptr) : Json(diagnosis.forked_by)}};
}

template <typename T>
Json list(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(to_json(value));
  return json;
}

/// Of those that hang alike the first has it all.
Json children_json(const Diagnosis& diagnosis);

Json document_of(const Diagnosis& diagnosis) {
  // Of a process that waits for one that hangs.
  const Finding* finding = diagnosis.finding ? &*diagnosis.finding : nullptr;
  const auto groups = alike_children(diagnosis);
  if (finding == nullptr && !groups.empty() && groups.front().front()->finding)
    finding = &*groups.front().front()->finding;
  return Json{{"answer", answer_word(whole_answer(diagnosis))},
              {"sentence", whole_sentence(diagnosis)},
              {"itself",
               {{"answer", answer_word(diagnosis.answer)}, {"sentence", diagnosis.sentence}}},
              {"reasons", diagnosis.reasons},
              {"process", process_json(diagnosis)},
              {"threads", list(diagnosis.threads)},
              {"lost", array(diagnosis.lost)},
              {"missing", list(diagnosis.missing)},
              {"hung_children", children_json(diagnosis)},
              {"finding", finding != nullptr ? to_json(*finding) : Json(nullptr)}};
}

Json children_json(const Diagnosis& diagnosis) {
  Json children = Json::array();
  for (const auto& alike : alike_children(diagnosis)) {
    for (const Diagnosis* child : alike) {
      const bool first = child == alike.front();
      children.push_back({{"pid", child->pid},
                          {"answer", answer_word(child->answer)},
                          {"sentence", child->sentence},
                          {"like", first ? Json(nullptr) : Json(alike.front()->pid)},
                          {"diagnosis", first ? document_of(*child) : Json(nullptr)}});
    }
  }
  return children;
}

}  // namespace

std::string diagnosis_json(const Diagnosis& diagnosis, const std::vector<Diagnosis>& ancestors) {
  Json document{{"schema", "forkscope.attach/1"}};
  document.update(document_of(diagnosis));
  Json above = Json::array();
  for (const Diagnosis& ancestor : ancestors) above.push_back(document_of(ancestor));
  document["ancestors"] = std::move(above);
  return dumped(document) + "\n";
}

std::string scan_json(const ScanResult& result) {
  Json found = Json::array();
  for (const Diagnosis& diagnosis : result.found) found.push_back(document_of(diagnosis));
  return dumped(Json{{"schema", "forkscope.scan/1"},
                     {"looked_at", result.looked_at},
                     {"unreadable", result.unreadable},
                     {"found", std::move(found)},
                     {"suppressed", result.suppressed},
                     {"suppressions", array(result.suppressions)}}) +
         "\n";
}

}  // namespace forkscope
