#include <fmt/format.h>

#include <algorithm>

#include "detector/verdict/handlers.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::HandlerPhase;

std::optional<HandlerReport::Run>& run_of(HandlerReport& report, HandlerPhase phase) {
  switch (phase) {
    case HandlerPhase::kPrepare:
      return report.prepare;
    case HandlerPhase::kParent:
      return report.parent;
    case HandlerPhase::kChild:
      break;
  }
  return report.child;
}

void add_locks(HandlerReport::Run& report, const HandlerRunsRecord& record, std::size_t run,
               const AddressSpace& space) {
  for (const record::HandlerLock& lock : record.locks) {
    if (lock.run != run) continue;
    LockInfo info = space.lock(lock.address, lock_type_words(lock.type, lock.flags));
    info.mode = mode_word(lock.type, lock.flags);
    switch (lock.event) {
      case record::LockEvent::kTaken:
        report.taken.push_back(std::move(info));
        break;
      case record::LockEvent::kReleased:
        report.released.push_back(std::move(info));
        break;
      case record::LockEvent::kLeft:
        report.left.push_back(std::move(info));
        break;
    }
  }
}

/// A released mutex is known by its address alone; who took it knows its type.
void name_released(std::vector<HandlerReport>& reports) {
  std::map<std::uint64_t, std::string> types;
  for (const HandlerReport& report : reports)
    for (const auto* run : {&report.prepare, &report.parent, &report.child})
      if (*run)
        for (const LockInfo& lock : (*run)->taken) types[lock.address] = lock.type;
  for (HandlerReport& report : reports)
    for (auto* run : {&report.prepare, &report.parent, &report.child})
      if (*run)
        for (LockInfo& lock : (*run)->released)
          if (const auto type = types.find(lock.address); type != types.end())
            lock.type = type->second;
}

}  // namespace

HandlerBook::HandlerBook(const Session& session) {
  for (const AtforkRecord& record : session.atforks)
    registrations_.emplace(record.meta.offset, &record.atfork);
  for (const HandlerRunsRecord& record : session.handler_runs)
    runs_.emplace(record.header.fork, &record);
}

const record::Atfork* HandlerBook::registration(std::uint64_t offset) const {
  const auto found = registrations_.find(offset);
  return found == registrations_.end() ? nullptr : found->second;
}

std::vector<const HandlerRunsRecord*> HandlerBook::runs_of(std::uint64_t fork) const {
  std::vector<const HandlerRunsRecord*> records;
  const auto [begin, end] = runs_.equal_range(fork);
  for (auto entry = begin; entry != end; ++entry) records.push_back(entry->second);
  // Both write at the same time; whose record comes first in the session is chance.
  std::stable_partition(records.begin(), records.end(), [](const HandlerRunsRecord* record) {
    return record->header.last_phase != HandlerPhase::kChild;
  });
  return records;
}

std::optional<std::vector<HandlerReport>> HandlerBook::reports(std::uint64_t fork,
                                                               const AddressSpace& space) const {
  const auto records = runs_of(fork);
  if (records.empty()) return std::nullopt;
  std::map<std::pair<std::uint32_t, std::uint64_t>, HandlerReport> by_order;
  const auto report_of = [&](const record::HandlerRun& run) -> HandlerReport& {
    HandlerReport& report = by_order[{run.order, run.atfork}];
    report.order = run.order;
    if (const record::Atfork* known = registration(run.atfork); known && !report.registered)
      report.registered = space.call_site(known->caller);
    return report;
  };
  const auto function_of = [&](const record::HandlerRun& run, HandlerPhase phase) {
    const record::Atfork* known = registration(run.atfork);
    return known ? space.function(known->function[std::size_t(phase)]) : std::nullopt;
  };
  for (const HandlerRunsRecord* record : records) {
    for (std::size_t i = 0; i < record->runs.size(); ++i) {
      const record::HandlerRun& run = record->runs[i];
      HandlerReport& report = report_of(run);
      if (run.passed_by) {
        report.passed_by = true;
        for (HandlerPhase phase :
             {HandlerPhase::kPrepare, HandlerPhase::kParent, HandlerPhase::kChild}) {
          HandlerReport::Run named;
          named.function = function_of(run, phase);
          if (named.function) run_of(report, phase) = std::move(named);
        }
        continue;
      }
      auto& slot = run_of(report, run.phase);
      if (!slot) {
        slot.emplace();
        slot->function = function_of(run, run.phase);
        slot->nanoseconds = run.nanoseconds;
        add_locks(*slot, *record, i, space);
      } else {
        // The child's record repeats the parent's prepare, but knows what is left locked here.
        for (const record::HandlerLock& lock : record->locks)
          if (lock.run == i && lock.event == record::LockEvent::kLeft &&
              std::none_of(slot->left.begin(), slot->left.end(),
                           [&](const LockInfo& one) { return one.address == lock.address; }))
            slot->left.push_back(space.lock(lock.address, lock_type_words(lock.type, lock.flags)));
      }
    }
  }
  std::vector<HandlerReport> reports;
  for (auto& [key, report] : by_order) reports.push_back(std::move(report));
  name_released(reports);
  return reports;
}

record::Kind reported_kind(const record::Finding& finding) {
  const bool lock =
      finding.kind == record::Kind::kOrphanedLock || finding.kind == record::Kind::kSelfHeldLock;
  return finding.in_handler && lock && finding.severity == record::Severity::kDeadlock
             ? record::Kind::kAtforkHandler
             : finding.kind;
}

Finding::Handler handler_at(const record::Atfork* registration, HandlerPhase phase,
                            const AddressSpace& space) {
  Finding::Handler handler;
  handler.phase = phase_word(phase);
  if (registration == nullptr) return handler;
  handler.order = registration->order;
  handler.function = space.function(registration->function[std::size_t(phase)]);
  handler.registered = space.call_site(registration->caller);
  return handler;
}

Finding::Handler handler_of(const record::Finding& finding, const Context& context,
                            const AddressSpace& space) {
  for (const AtforkRecord& record : context.session.atforks)
    if (record.meta.offset == finding.handler)
      return handler_at(&record.atfork, finding.handler_phase, space);
  return handler_at(nullptr, finding.handler_phase, space);
}

namespace {

/// Of the lock itself; for one on the heap, of the innermost code that is not the C or C++ library.
std::string module_of(const LockInfo& lock, const std::vector<Frame>& taker) {
  if (!lock.module.empty()) return lock.module;
  const auto own = std::find_if(taker.begin(), taker.end(),
                                [](const Frame& frame) { return !is_runtime(frame); });
  return own != taker.end() ? own->module : "";
}

bool touched_a_lock_in_child(const std::vector<const HandlerRunsRecord*>& records,
                             std::uint64_t registration) {
  for (const HandlerRunsRecord* record : records)
    for (const record::HandlerLock& lock : record->locks) {
      const record::HandlerRun& run = record->runs[lock.run];
      if (run.atfork == registration && run.phase == HandlerPhase::kChild) return true;
    }
  return false;
}

}  // namespace

std::optional<Finding::Handler> silent_child_handler(const LockInfo& lock,
                                                     const std::vector<Frame>& taker,
                                                     const ForkRecord& fork,
                                                     const Context& context,
                                                     const AddressSpace& space) {
  constexpr auto kChild = std::size_t(HandlerPhase::kChild);
  const std::string module = module_of(lock, taker);
  if (module.empty() || record::handlers_of(fork.fork.api) != record::Handlers::kRun)
    return std::nullopt;
  for (const AtforkRecord& record : context.session.atforks) {
    if (record.atfork.function[kChild] == 0 || record.atfork.next_fork > fork.fork.id) continue;
    const std::optional<Frame> function = space.function(record.atfork.function[kChild]);
    if (!function || function->module != module) continue;
    if (!touched_a_lock_in_child(HandlerBook(context.session).runs_of(fork.fork.id),
                                 record.meta.offset))
      return handler_at(&record.atfork, HandlerPhase::kChild, space);
  }
  return std::nullopt;
}

std::string handler_words(const Finding::Handler& handler) {
  const std::string noun = handler.phase.empty() ? "at-fork handler" : handler.phase + " handler";
  if (!handler.function) return with_article(noun);
  const Frame& function = *handler.function;
  std::string text = noun;
  if (!function.function.empty()) text += " " + call_words(function.function);
  if (!function.module.empty()) text += " of " + base_name(function.module);
  return text;
}

std::string inside_handler_words(const Finding::Handler& handler) {
  std::string text = fmt::format("The call is inside fork(), in {}{}",
                                 handler.function ? "the " : "", handler_words(handler));
  if (handler.registered && !handler.registered->function.empty()) {
    text += fmt::format(", which {} registered", call_words(handler.registered->function));
  }
  return text + ".";
}

std::string perhaps_repaired_words(const Finding::Handler& handler) {
  return fmt::format(
      "Whether this can happen is not known: the {} ran first, and may have set the lock up anew by "
      "an assignment, which cannot be seen.",
      handler_words(handler));
}

std::string passed_by_words(std::uint64_t fork, const Context& context, const AddressSpace& space) {
  constexpr std::size_t kMost = 4;
  const auto reports = HandlerBook(context.session).reports(fork, space);
  if (!reports) return "";
  std::vector<std::string> names;
  for (const HandlerReport& report : *reports) {
    if (!report.passed_by) continue;
    for (const auto* run : {&report.prepare, &report.child, &report.parent}) {
      if (!*run) continue;
      Finding::Handler handler;
      handler.phase = run == &report.prepare ? "prepare"
                      : run == &report.child ? "child"
                                             : "parent";
      handler.function = (*run)->function;
      names.push_back(handler_words(handler));
      break;
    }
  }
  if (names.empty()) return "";
  std::string list;
  for (std::size_t i = 0; i < names.size() && i < kMost; ++i)
    list += (i == 0 ? "" : "; ") + names[i];
  if (names.size() > kMost) list += fmt::format("; and {} more", names.size() - kMost);
  return fmt::format("Passed by were the handlers of {} registration{}: {}.", names.size(),
                     names.size() == 1 ? "" : "s", list);
}

}  // namespace forkscope
