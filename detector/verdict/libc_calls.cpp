#include "detector/verdict/libc_calls.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/findings.hpp"
#include "detector/verdict/outside/thread_view.hpp"
#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::AtFork;
using record::UnsafeCall;

/// Of a damaged record, too: a number that no function has is none.
UnsafeCall call_at(std::uint32_t word) {
  return word < record::kUnsafeCallCount ? UnsafeCall(word) : UnsafeCall::none;
}

std::string name_of(UnsafeCall call) {
  return call == UnsafeCall::none ? "" : record::facts_of(call).name;
}

/// "localtime_r() takes tzset_lock", for the functions that are tracked; of the others it is said
/// of the family.
std::string lock_sentence(UnsafeCall call) {
  const record::LibcFamilyFacts& family = record::facts_of(record::facts_of(call).family);
  const std::string name = name_of(call) + "()";
  if (family.at_fork == AtFork::kReset) {
    return fmt::format(
        "{} needs {}, which glibc sets free in the child of fork(), and not in that of _Fork() or "
        "clone(); other C libraries need not.",
        name, family.lock);
  }
  const std::string since =
      *family.since == '\0' ? "" : fmt::format(" before version {}", family.since);
  return fmt::format(
      "{} belongs to the functions that need {}, which glibc{} does not set free in the child: "
      "where another thread has it at the fork, the call waits for ever.",
      name, family.lock, since);
}

/// What a library does about its locks only its own handlers can tell.
std::string definer_sentence(UnsafeCall call, const Definer& definer) {
  const std::string library = base_name(definer.module);
  return fmt::format(
      "{}() is that of {} here, not glibc's. {}", name_of(call), library,
      definer.handlers
          ? "That has registered at-fork handlers, which are there to put its locks in order; "
            "whether they do is not known."
          : "No at-fork handler of that was seen: a lock of its own that another thread has at "
            "the fork stays locked in the child.");
}

std::string lost_words(const FindingFacts& facts) {
  std::size_t lost = 0;
  for (const record::ThreadInfo& thread : facts.record.threads) lost += !thread.is_forker;
  if (lost == 0) return "other threads";
  return lost == 1 ? "1 other thread" : fmt::format("{} other threads", lost);
}

std::string note_explanation(const FindingFacts& facts, UnsafeCall call) {
  return fmt::format(
      "The process had {} {}. POSIX allows the child of such a fork only async-signal-safe "
      "functions until it calls exec, and {}() is none. {}",
      lost_words(facts), when_forked(facts), name_of(call),
      facts.definer != nullptr ? definer_sentence(call, *facts.definer) : lock_sentence(call));
}

std::string inside_sentence(const FindingFacts& facts, UnsafeCall inside) {
  std::string text =
      fmt::format("{} was inside {}() {}, and was not copied.", capitalised(holder_words(facts)),
                  name_of(inside), when_forked(facts));
  if (const std::uint32_t others = facts.record.finding.lock_words[2]; others > 0) {
    text += fmt::format(
        " So {} {}, inside a function of the same lock: libc does not say which "
        "of them had it.",
        others == 1 ? "was" : "were",
        others == 1 ? "another thread" : fmt::format("{} others", others));
  }
  return text;
}

bool same_place(const Frame& a, const Frame& b) {
  if (a.module != b.module) return false;
  return a.module.empty() ? a.address == b.address : a.offset == b.offset;
}

/// From outside only the frames inside libc are certain; how the child came there the library has
/// written down.
std::vector<Frame> joined_stack(const std::vector<Frame>& inside,
                                const std::vector<Frame>& caller) {
  if (caller.empty()) return inside;
  const auto end = std::find_if(inside.begin(), inside.end(), [&](const Frame& frame) {
    return base_name(frame.module) == "libforkscope.so" ||
           same_place(frame, caller.front());
  });
  std::vector<Frame> stack(inside.begin(), end);
  stack.insert(stack.end(), caller.begin(), caller.end());
  return stack;
}

}  // namespace

std::optional<UnsafeCall> libc_call_of(const record::Finding& finding) {
  if (finding.evidence != record::Evidence::kForkedChild && finding.evidence != record::Evidence::kInsideCall)
    return std::nullopt;
  const UnsafeCall call = call_at(finding.lock_words[0]);
  return call == UnsafeCall::none ? std::nullopt : std::optional(call);
}

std::string at_fork_word(AtFork at_fork) { return at_fork == AtFork::kReset ? "reset" : "kept"; }

std::optional<Definer> definer_of(const FindingRecord& record, const Context& context,
                                  const AddressSpace& space) {
  if (record.finding.evidence != record::Evidence::kForkedChild || record.finding.range_begin == 0)
    return std::nullopt;
  const auto module_of = [&](std::uint64_t address) {
    for (const ModuleRecord& module : space.modules())
      if (address >= module.start && address < module.end) return module.path;
    return std::string();
  };
  const std::string module = module_of(record.finding.range_begin);
  if (module.empty() || is_libc_module(module)) return std::nullopt;
  Definer definer{module};
  for (const AtforkRecord& registered : context.session.atforks)
    for (const std::uint64_t function : registered.atfork.function)
      if (registered.meta.image == record.meta.image && function != 0 &&
          module_of(function) == module)
        definer.handlers = true;
  return definer;
}

Finding::LibcCall libc_call_report(const record::Finding& finding, const Definer* definer) {
  Finding::LibcCall report;
  const auto call = libc_call_of(finding);
  if (!call) return report;
  const record::LibcFamilyFacts& family = record::facts_of(record::facts_of(*call).family);
  report.function = name_of(*call);
  report.family = family.words;
  report.lock = family.lock;
  report.at_fork = at_fork_word(family.at_fork);
  report.reset_since = family.since;
  if (definer != nullptr) {
    report.lock = "locks of " + base_name(definer->module);
    report.at_fork = "unknown";
    report.reset_since.clear();
  }
  report.holder_function = name_of(call_at(finding.lock_words[1]));
  return report;
}

std::string libc_call_verdict(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const UnsafeCall call = libc_call_of(f).value_or(UnsafeCall::none);
  const UnsafeCall inside = call_at(f.lock_words[1]);
  if (f.evidence == record::Evidence::kForkedChild) {
    return fmt::format("calls {}() in the child of a fork that left threads behind", name_of(call));
  }
  return fmt::format("calls {}(), while {}, which was not copied, was inside {}()", name_of(call),
                     holder_words(facts), name_of(inside));
}

std::string libc_call_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const UnsafeCall call = libc_call_of(f).value_or(UnsafeCall::none);
  if (call == UnsafeCall::none) return "";
  if (f.evidence == record::Evidence::kForkedChild) return note_explanation(facts, call);
  std::string text = inside_sentence(facts, call_at(f.lock_words[1])) + " " + lock_sentence(call);
  if (facts.outcome == record::Outcome::kAcquired) {
    text +=
        " This call came back: at that moment the thread did not have the lock. With another "
        "timing the child hangs.";
  }
  return text;
}

std::string libc_call_cure(UnsafeCall call) {
  return fmt::format(
      "{} Or start the process with posix_spawn(), or fork before threads are started.",
      record::facts_of(record::facts_of(call).family).cure);
}

std::string libc_call_cure(const std::string& function) {
  for (std::size_t i = 1; i < record::kUnsafeCallCount; ++i) {
    const record::UnsafeCallFacts& facts = record::kUnsafeCalls[i];
    if (function != facts.name && function != std::string("__") + facts.name) continue;
    return facts.family == record::LibcFamily::kLoader ? "" : libc_call_cure(UnsafeCall(i));
  }
  return "Start the process with posix_spawn(), or let the child call only async-signal-safe "
         "functions (signal-safety(7)) until it calls execve: libc does not free this lock at a "
         "fork. Or fork before threads are started.";
}

void add_warning(Finding& hang, const Finding& warning) {
  hang.libc = warning.libc;
  hang.waiter.call = warning.waiter.call;
  hang.waiter.stack = joined_stack(hang.waiter.stack, warning.waiter.stack);
  hang.cure = warning.cure;
  const std::string call =
      fmt::format("waits for ever in {}() for a lock inside libc", warning.libc->function);
  if (hang.holder.tid != 0 && hang.holder.tid != warning.holder.tid) {
    // The lock names its owner: not the thread that was thought of.
    hang.libc->holder_function.clear();
    hang.verdict = fmt::format("{}, which {} had when it was forked", call,
                               thread_words(hang.holder.tid, hang.holder.name));
    return;
  }
  hang.verdict = fmt::format("{}: {} was inside {}() when it was forked", call,
                             thread_words(warning.holder.tid, warning.holder.name),
                             warning.libc->holder_function);
  hang.explanation = warning.explanation + " " + hang.explanation;
}

bool says_the_same(const Finding& hang, const Finding& warning) {
  const bool went_well = warning.severity == "note" || warning.outcome == "came back";
  if (!hang.libc || !warning.libc || !went_well || hang.libc->function != warning.libc->function ||
      warning.waiter.stack.empty())
    return false;
  const auto& stack = hang.waiter.stack;
  return std::any_of(stack.begin(), stack.end(), [&](const Frame& frame) {
    return same_place(frame, warning.waiter.stack.front());
  });
}

}  // namespace forkscope
