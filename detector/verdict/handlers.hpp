// At-fork handlers: who registered them, what they did around each fork, and what is wrong with it.
// Pure but for the naming of addresses through AddressSpace.
//
// A handler that hangs is a record::Finding of its own (findings.cpp). Found here, from what the
// tracker wrote down of forks that went well:
//   lock-order             prepare handlers take two mutexes in an order that another thread, which
//                          held both when the fork was called, had inverted: latent
//   not-released           prepare took a lock and neither handler of the process gave it back
//   registered-late        a child was forked beside threads before the handlers were registered
//   registered-in-handler  libc does not run them for the fork under way
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/findings.hpp"

namespace forkscope {

/// The records of a session about handlers, by registration and by fork.
class HandlerBook {
 public:
  explicit HandlerBook(const Session& session);

  /// Null when its record was lost.
  const record::Atfork* registration(std::uint64_t offset) const;
  /// By the parent, then by the child, whoever wrote first; either may be missing.
  std::vector<const HandlerRunsRecord*> runs_of(std::uint64_t fork) const;
  /// Handlers in the order of registration; nothing when nothing was recorded.
  std::optional<std::vector<HandlerReport>> reports(std::uint64_t fork,
                                                    const AddressSpace& space) const;

 private:
  std::map<std::uint64_t, const record::Atfork*> registrations_;
  std::multimap<std::uint64_t, const HandlerRunsRecord*> runs_;
};

std::vector<Candidate> handler_findings(const Context& context,
                                        const std::vector<ChildOutcome>& outcomes);

/// What a recorded finding is reported as: a lock that is waited for in a handler is that handler's
/// matter, whoever has it.
record::Kind reported_kind(const record::Finding& finding);

/// The handler a recorded finding is in.
Finding::Handler handler_of(const record::Finding& finding, const Context& context,
                            const AddressSpace& space);
Finding::Handler handler_at(const record::Atfork* registration, record::HandlerPhase phase,
                            const AddressSpace& space);

/// The child handler that may have set up `lock` anew by an assignment, which nobody sees: one of
/// the module that the lock lies in, or else of the code that takes it, that ran in the child of
/// this fork and was not seen to unlock or initialise any lock by a call.
std::optional<Finding::Handler> silent_child_handler(const LockInfo& lock,
                                                     const std::vector<Frame>& taker,
                                                     const ForkRecord& fork,
                                                     const Context& context,
                                                     const AddressSpace& space);

/// "prepare handler lock_all() of libtable.so"; "a prepare handler" when nothing is known of it.
std::string handler_words(const Finding::Handler& handler);
/// A sentence on a silent_child_handler().
std::string perhaps_repaired_words(const Finding::Handler& handler);
/// A sentence: which handler the call is in, and where that was registered.
std::string inside_handler_words(const Finding::Handler& handler);
/// A sentence on the handlers a fork passed by; empty when none is known.
std::string passed_by_words(std::uint64_t fork, const Context& context, const AddressSpace& space);

}  // namespace forkscope
