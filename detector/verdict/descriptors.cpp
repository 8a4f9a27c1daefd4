#include "detector/verdict/descriptors.hpp"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include "detector/verdict/cures.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::DescriptorType;
using record::DescriptorUse;
using record::SharedDescriptor;

constexpr std::size_t kTakes = std::size_t(DescriptorUse::takes);
constexpr std::size_t kPuts = std::size_t(DescriptorUse::puts);

bool child_used(const SharedDescriptor& one) {
  return one.child[kTakes].call != 0 || one.child[kPuts].call != 0;
}
bool parent_used(const SharedDescriptor& one) {
  return one.parent[kTakes].call != 0 || one.parent[kPuts].call != 0;
}
bool both(const SharedDescriptor& one, std::size_t use) {
  return one.child[use].call != 0 && one.parent[use].call != 0;
}

/// What parent and child both do with it, where that mixes up what each of them gets or says. To
/// send whole messages is what datagrams are for, and a listening socket may be accepted from by
/// all; an eventfd may be one's to write and the other's to read.
std::optional<DescriptorUse> mixed_use(const SharedDescriptor& one) {
  switch (one.type) {
    case DescriptorType::kStream:
    case DescriptorType::kPipe:
      if (both(one, kTakes)) return DescriptorUse::takes;
      if (both(one, kPuts)) return DescriptorUse::puts;
      return std::nullopt;
    case DescriptorType::kMessages:
      if ((one.traits & record::kConnected) != 0 && both(one, kTakes)) return DescriptorUse::takes;
      return std::nullopt;
    case DescriptorType::kEventfd:
      if ((one.traits & record::kSemaphore) != 0) return std::nullopt;
      [[fallthrough]];
    case DescriptorType::kEpoll:
    case DescriptorType::kInotify:
      if (both(one, kTakes)) return DescriptorUse::takes;
      return std::nullopt;
    case DescriptorType::kListener:
    case DescriptorType::kLockedFile:
      return std::nullopt;
  }
  return std::nullopt;
}

/// What is written to a pipe at once stays together up to PIPE_BUF bytes (POSIX write), so that
/// programs let many processes write to one. An eventfd may be a semaphore.
record::Severity severity_of(const SharedDescriptor& one, DescriptorUse use) {
  const bool whole = one.type == DescriptorType::kPipe && use == DescriptorUse::puts;
  const bool semaphore =
      one.type == DescriptorType::kEventfd && (one.traits & record::kNoSemaphore) == 0;
  return whole || semaphore ? record::Severity::kNote : record::Severity::kHazard;
}

/// An open file that has an inode of its own, and an end of it, for all children of one parent.
using OpenFile = std::tuple<std::int32_t, std::uint32_t, std::uint64_t, std::uint64_t, bool>;
OpenFile open_file(const SharedDescriptorsRecord& record, const SharedDescriptor& one) {
  return {record.header.parent, record.meta.image, one.device, one.inode, one.writable != 0};
}

class Users {
 public:
  explicit Users(const Session& session) {
    for (const SharedDescriptorsRecord& record : session.shared_descriptors) {
      for (const SharedDescriptor& one : record.descriptors) {
        if (child_used(one)) users_[open_file(record, one)].insert(record.header.child);
        // Asks and is answered: a conversation, of which two children have one each.
        if (one.type == DescriptorType::kStream && one.child[kTakes].call != 0 &&
            one.child[kPuts].call != 0) {
          talkers_[open_file(record, one)].insert(record.header.child);
        }
      }
    }
  }
  /// A child other than the record's own, or 0.
  std::int32_t other_user(const SharedDescriptorsRecord& record,
                          const SharedDescriptor& one) const {
    return other_in(users_, record, one);
  }
  std::int32_t other_talker(const SharedDescriptorsRecord& record,
                            const SharedDescriptor& one) const {
    const bool talks = one.child[kTakes].call != 0 && one.child[kPuts].call != 0;
    return talks && one.type == DescriptorType::kStream ? other_in(talkers_, record, one) : 0;
  }

 private:
  using Map = std::map<OpenFile, std::set<std::int32_t>>;
  static bool has_inode(DescriptorType type) {
    return type == DescriptorType::kPipe || type == DescriptorType::kStream ||
           type == DescriptorType::kMessages || type == DescriptorType::kListener;
  }
  static std::int32_t other_in(const Map& map, const SharedDescriptorsRecord& record,
                               const SharedDescriptor& one) {
    const auto found = has_inode(one.type) ? map.find(open_file(record, one)) : map.end();
    if (found == map.end()) return 0;
    for (std::int32_t child : found->second)
      if (child != record.header.child) return child;
    return 0;
  }
  Map users_, talkers_;
};

struct Told {
  SharedDescriptorFacts facts;
  record::Severity severity;
};

/// A descriptor that the child kept and did not use is nobody's trouble if it was handed to it:
/// then the parent has closed it, and nobody else uses it. The end of a pipe whose only purpose is
/// that it is closed when its owner dies is such a one.
std::optional<Told> told_of(const SharedDescriptorsRecord& record, const SharedDescriptor& one,
                            const Users& users) {
  SharedDescriptorFacts facts{one,
                              SharedUse::kBoth,
                              DescriptorUse::takes,
                              record.header.child,
                              record.header.parent,
                              record.header.parent};
  if (const auto use = mixed_use(one)) {
    facts.use = *use;
    return Told{facts, severity_of(one, *use)};
  }
  if (const std::int32_t sibling = users.other_talker(record, one); sibling != 0) {
    facts.shared = SharedUse::kSiblings;
    facts.other = sibling;
    return Told{facts, record::Severity::kHazard};
  }
  if (child_used(one) || one.kept == record::kNotKept) return std::nullopt;
  if (one.type == DescriptorType::kPipe && !one.writable) return std::nullopt;
  facts.shared = SharedUse::kKept;
  facts.other = parent_used(one) ? record.header.parent : users.other_user(record, one);
  if (one.kept != record::kKeptBoth && facts.other == 0) return std::nullopt;
  return Told{facts, record::Severity::kNote};
}

LockInfo object_of(const SharedDescriptor& one) {
  LockInfo object = AddressSpace::nameless(0, descriptor_words(one.type));
  object.descriptor = one.descriptor;
  return object;
}

Candidate candidate_of(const Told& told, const SharedDescriptorsRecord& record,
                       const ForkRecord& fork, const Context& context) {
  // Both write to it until they end.
  RecordMeta end = record.meta;
  end.offset = kEndOfSession;
  end.pid = record.header.child;
  const AddressSpace& space = context.spaces.of(end);
  end.pid = fork.fork.parent;
  const AddressSpace& parent = context.spaces.of(end);
  const SharedDescriptor& one = told.facts.descriptor;
  Candidate candidate;
  candidate.time = record.meta.time;
  Finding& finding = candidate.finding;
  finding.kind = kind_word(record::Kind::kSharedDescriptor);
  finding.severity = severity_word(told.severity);
  finding.evidence = descriptor_evidence(told.facts.shared);
  finding.process = record.header.child;
  finding.program = base_name(space.executable());
  finding.fork = fork.fork.id;
  finding.lock = object_of(one);
  finding.fork_stack = parent.stack(std::span(fork.fork.stack, fork.fork.frames));
  const auto use = std::size_t(told.facts.use);
  if (told.facts.shared != SharedUse::kKept) {
    finding.waiter.tid = one.child[use].tid;
    finding.waiter.call = descriptor_call_word(one.child[use].call);
    finding.waiter.stack = space.stack(std::span(&one.child[use].caller, 1));
  }
  if (told.facts.shared == SharedUse::kBoth) {
    finding.holder.tid = one.parent[use].tid;
    finding.holder.acquired = parent.stack(std::span(&one.parent[use].caller, 1));
  }
  finding.verdict = descriptor_verdict(told.facts);
  finding.explanation = descriptor_explanation(told.facts);
  const bool python = runtime_of(space.executable(), finding) == Runtime::kPython;
  finding.cure = descriptor_cure(told.facts, python);
  candidate.aspect = finding.evidence;
  return candidate;
}

}  // namespace

std::vector<Candidate> shared_descriptors(const Context& context,
                                          const std::vector<ChildOutcome>& outcomes) {
  std::vector<Candidate> candidates;
  if (context.session.shared_descriptors.empty()) return candidates;
  std::map<std::uint64_t, std::size_t> forks;
  for (std::size_t i = 0; i < context.session.forks.size(); ++i)
    forks.emplace(context.session.forks[i].fork.id, i);
  const Users users(context.session);
  for (const SharedDescriptorsRecord& record : context.session.shared_descriptors) {
    const auto fork = forks.find(record.header.fork);
    if (fork == forks.end() || outcomes[fork->second].end == ChildEnd::kExec) continue;
    for (const SharedDescriptor& one : record.descriptors) {
      if (const auto told = told_of(record, one, users)) {
        candidates.push_back(
            candidate_of(*told, record, context.session.forks[fork->second], context));
      }
    }
  }
  return candidates;
}

}  // namespace forkscope
