// Joins what a child and its parent wrote of the same function-local static.
#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "detector/verdict/findings.hpp"

namespace forkscope {
namespace {

using Place = std::pair<std::int32_t, std::uint64_t>;  // process, guard

/// A thread other than the forking one that lived at the fork.
bool was_lost(const ForkRecord& fork, std::int32_t tid) {
  return std::any_of(fork.threads.begin(), fork.threads.end(),
                     [&](const record::ThreadInfo& thread) {
                       return thread.tid == tid && thread.is_forker == 0 &&
                              thread.state != record::ThreadState::kExited;
                     });
}

/// Another object may have come to lie at the guard's address.
bool is_same_static(const StaticInitRecord& child, const StaticInitRecord& parent,
                    const Context& context) {
  const ModuleRecord* a = context.spaces.of(child.meta).module_at(child.init.object);
  const ModuleRecord* b = context.spaces.of(parent.meta).module_at(parent.init.object);
  return (a == nullptr) == (b == nullptr) && (a == nullptr || a->path == b->path);
}

/// As the tracker would have written it in the child, had it known what the parent's thread does.
FindingRecord finding_record(const StaticInitRecord& child, const StaticInitRecord& parent,
                             const ForkRecord& fork, const Context& context,
                             const Unwinder& unwind) {
  FindingRecord made;
  made.meta = child.meta;
  record::Finding& f = made.finding;
  f.fork = fork.fork.id;
  f.kind = record::Kind::kOrphanedLock;
  f.severity = record::Severity::kLatent;
  f.call = record::Call::kGuardAcquire;
  f.evidence = record::Evidence::kBothInitialise;
  f.lock_type = record::LockType::kStaticGuard;
  f.lock = child.init.object;
  f.holder_tid = parent.meta.tid;
  f.holder_start = parent.init.start;
  std::memcpy(f.holder_name, parent.init.name, sizeof f.holder_name);
  f.holder_caller = parent.init.acquired.pc;
  f.acquired = parent.init.acquired;
  f.holder_has_registers = 1;
  f.held_share = record::kUnknownShare;
  made.memory = {parent.stack};
  std::vector<std::uint64_t> stack{child.init.acquired.pc};
  if (unwind) {
    const auto& modules = context.spaces.of(child.meta).modules();
    const UnwoundStack unwound = unwind(child.init.acquired, {child.stack}, modules);
    if (!unwound.addresses.empty()) stack = unwound.addresses;
  }
  f.waiter_frames =
      static_cast<std::uint16_t>(std::min<std::size_t>(stack.size(), record::kMaxFrames));
  std::copy_n(stack.begin(), f.waiter_frames, f.waiter);
  return made;
}

}  // namespace

std::vector<Candidate> latent_statics(const Context& context, const Unwinder& unwind) {
  std::map<Place, std::vector<const StaticInitRecord*>> by_place;
  for (const StaticInitRecord& init : context.session.static_inits)
    by_place[{init.meta.pid, init.init.object}].push_back(&init);
  std::vector<Candidate> candidates;
  for (const StaticInitRecord& child : context.session.static_inits) {
    const auto fork = context.fork_by_id.find(child.init.fork);
    if (child.init.fork == 0 || fork == context.fork_by_id.end()) continue;
    const auto others = by_place.find({fork->second->fork.parent, child.init.object});
    if (others == by_place.end()) continue;
    for (const StaticInitRecord* parent : others->second) {
      // Which came first does not matter, nor do the records tell: had the thread been done before
      // the fork, the child would have found it done.
      if (parent->meta.image != child.meta.image || !was_lost(*fork->second, parent->meta.tid) ||
          !is_same_static(child, *parent, context))
        continue;
      candidates.push_back(finding_of(
          finding_record(child, *parent, *fork->second, context, unwind), context, unwind));
      break;
    }
  }
  return candidates;
}

}  // namespace forkscope
