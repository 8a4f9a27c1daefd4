// What was injected, from its records: names for addresses and numbers, nothing judged.
#include <cstring>
#include <span>
#include <string>

#include "detector/record/unsafe_calls.hpp"
#include "detector/verdict/findings.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

std::string error_name(const char* point, int number) {
  const InjectErrnoTable table = inject_errno_table();
  for (std::size_t i = 0; i < table.count; ++i)
    if (table.first[i].number == number && std::string(table.first[i].point) == point)
      return table.first[i].name;
  const char* name = number != 0 ? strerrorname_np(number) : nullptr;  // of a probe
  return name != nullptr ? name : "";
}

InjectedReport injected_report(const InjectedRecord& record, const Context& context) {
  const record::Injected& injected = record.injected;
  const AddressSpace& space = context.spaces.of(record.meta);
  const InjectActionFacts& facts = facts_of(injected.action);
  InjectedReport report;
  report.spec = record.spec;
  report.point = facts.point;
  report.action = facts.action;
  report.pid = record.meta.pid;
  report.tid = record.meta.tid;
  report.time = record.meta.time;
  report.fork = injected.fork;
  report.result = facts_of(injected.result).word;
  if (injected.lock != 0) {
    LockInfo lock =
        space.lock(injected.lock, lock_type_words(injected.lock_type, injected.lock_flags));
    lock.mode = mode_word(injected.lock_type, injected.lock_flags);
    name_lock(lock, context, record.meta);
    report.lock = std::move(lock);
  }
  report.holder = injected.holder;
  if (injected.caller != 0) report.caller = space.call_site(injected.caller);
  if (injected.function != 0) report.function = record::kUnsafeCalls[injected.function].name;
  report.error = error_name(facts.point, injected.error);
  report.probed = facts_of(injected.probed).word;
  report.times = record.times;
  report.stack = space.stack(std::span(injected.stack, injected.frames));
  return report;
}

}  // namespace

void report_injections(Report& report, const Context& context, const RunFacts& facts) {
  report.seed = facts.seed;
  report.inject = facts.inject;
  for (const InjectedRecord& record : context.session.injected) {
    // Without the command the records alone know it.
    if (!report.seed) report.seed = record.injected.seed;
    report.injected.push_back(injected_report(record, context));
  }
}

}  // namespace forkscope
