// Forks that went around the at-fork handlers in a process with threads: notes, one a call site.
#include <fmt/format.h>

#include <map>
#include <tuple>

#include "detector/verdict/cures.hpp"
#include "detector/verdict/findings.hpp"
#include "detector/verdict/handlers.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// Before anything is named: sessions can have many thousand forks.
/// Image, api, caller, and why the program takes it for safe.
using Site = std::tuple<std::uint32_t, record::Api, std::uint64_t, std::string>;

bool is_bypass(const record::Fork& fork) {
  return record::memory_of(fork.api) == record::ChildMemory::kCopied &&
         record::handlers_of(fork.api) == record::Handlers::kSkipped && fork.threads_total > 1;
}

std::uint64_t call_site(const record::Fork& fork, const AddressSpace& space) {
  for (std::uint16_t i = 0; i < fork.frames; ++i) {
    if (!space.is_preload_library(fork.stack[i])) return fork.stack[i];
  }
  return 0;
}

std::string explanation(const ForkRecord& fork) {
  const std::string call = call_words(api_word(fork.fork.api));
  return fmt::format(
      "Thread {} called {} while its process had {} threads. The child got a copy of the memory, "
      "but nothing was put in order in it: no at-fork handler ran, libc did not repair the locks "
      "of "
      "malloc and stdio, and what another thread had begun with pthread_once() stays begun. If "
      "another thread was allocating or printing at that moment, the first malloc() or printf() of "
      "the child waits for ever.",
      fork.fork.parent_tid, call, fork.fork.threads_total);
}

Candidate candidate_of(const ForkRecord& fork, const ChildOutcome& outcome, const Context& context,
                       const AddressSpace& space) {
  Candidate candidate;
  candidate.time = fork.meta.time;
  Finding& finding = candidate.finding;
  finding.kind = kind_word(record::Kind::kForkBypass);
  finding.severity = severity_word(record::Severity::kNote);
  finding.evidence = "skipped-handlers";
  finding.process = outcome.child;
  finding.program = base_name(space.executable());
  finding.fork = fork.fork.id;
  finding.verdict =
      fmt::format("was made by {}, around the at-fork handlers, in a process of {} threads",
                  call_words(api_word(fork.fork.api)), fork.fork.threads_total);
  finding.fork_stack = space.stack({fork.fork.stack, fork.fork.frames});
  for (const record::ThreadInfo& thread : fork.threads) {
    if (!thread.is_forker) finding.lost.push_back(thread_report(thread, space));
  }
  finding.explanation = explanation(fork);
  if (const std::string passed = passed_by_words(fork.fork.id, context, space); !passed.empty())
    finding.explanation += " " + passed;
  finding.cure =
      cure_for(cure_facts_of(finding, space.executable(), record::Kind::kForkBypass));
  candidate.aspect = api_word(fork.fork.api);
  return candidate;
}

}  // namespace

std::vector<Candidate> fork_bypasses(const Context& context,
                                     const std::vector<ChildOutcome>& outcomes) {
  std::vector<Candidate> candidates;
  std::map<Site, std::size_t> known;
  for (std::size_t i = 0; i < context.session.forks.size(); ++i) {
    const ForkRecord& fork = context.session.forks[i];
    if (!is_bypass(fork.fork) || outcomes[i].end == ChildEnd::kExec) continue;
    const AddressSpace& space = context.spaces.of(fork.meta);
    const auto reason = context.declared_safe.find(fork.fork.id);
    const Site site{fork.meta.image, fork.fork.api, call_site(fork.fork, space),
                    reason == context.declared_safe.end() ? "" : reason->second};
    const auto [entry, is_new] = known.emplace(site, candidates.size());
    if (is_new) {
      candidates.push_back(candidate_of(fork, outcomes[i], context, space));
    } else {
      ++candidates[entry->second].finding.count;
    }
  }
  return candidates;
}

}  // namespace forkscope
