// Words for descriptors that processes share.
#include <fmt/format.h>

#include "detector/verdict/descriptors.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::DescriptorType;
using record::DescriptorUse;

std::string who_else(const SharedDescriptorFacts& facts) {
  return facts.shared == SharedUse::kSiblings ? fmt::format("process {}", facts.other)
                                              : "its parent";
}

/// What goes wrong when two processes do it.
std::string mixed_words(const SharedDescriptorFacts& facts) {
  const bool takes = facts.use == DescriptorUse::takes;
  switch (facts.descriptor.type) {
    case DescriptorType::kStream:
      if (facts.shared == SharedUse::kSiblings) {
        return "Requests of two processes are mixed on it, and an answer goes to whoever reads "
               "first.";
      }
      return takes
                 ? "Each byte goes to one of them, whoever reads first: an answer to one is read "
                   "by the other, and each of them may get part of it."
                 : "Their bytes arrive mixed, in no order that a protocol could rely on; what one "
                   "of them says at its end (a quit, a TLS close) ends the connection of both.";
    case DescriptorType::kMessages:
      return "Each message goes to one of them, whoever receives first: an answer to one is read "
             "by "
             "the other.";
    case DescriptorType::kPipe:
      return takes ? "Each byte goes to one of them, whoever reads first."
                   : "What is written at once stays together up to PIPE_BUF (4096) bytes; longer "
                     "writes are mixed. And a reader sees the end of the pipe only when both have "
                     "closed it.";
    case DescriptorType::kEpoll:
      return "Parent and child have one list of interest, not one each: what one of them adds, "
             "changes or removes it does to both, and an event may be delivered to the one that "
             "does not have the descriptor it is about.";
    case DescriptorType::kInotify:
      return "Each event goes to one of them, whoever reads first, and watches that one of them "
             "adds or removes are those of both.";
    case DescriptorType::kEventfd:
      return "A read sets the counter back for both, so a wake-up that was meant for one of them "
             "is "
             "taken by the other.";
    case DescriptorType::kListener:
    case DescriptorType::kLockedFile:
      break;
  }
  return "";
}

std::string kept_words(DescriptorType type) {
  switch (type) {
    case DescriptorType::kPipe:
      return "A reader of the pipe sees its end only when every copy of the write end is closed, "
             "this one among them: who reads to the end of file waits for this child, too.";
    case DescriptorType::kStream:
      return "The connection is closed only when every copy is: as long as this child lives its "
             "peer "
             "does not see that the others have closed it.";
    case DescriptorType::kMessages:
      return "The socket stays open, and its address bound, as long as this child lives.";
    case DescriptorType::kListener:
      return "The address stays bound, and connections are queued, as long as this child lives, "
             "even "
             "when nobody is left who accepts them: a server that is started again finds its "
             "address "
             "in use.";
    case DescriptorType::kEpoll:
      return "It is the same list of interest: what its parent has closed, but this child has "
             "open, "
             "goes on to report events in the parent.";
    case DescriptorType::kInotify:
      return "Its watches stay as long as this child lives, and its events queue up.";
    case DescriptorType::kEventfd:
      return "It is the same counter: a library that wakes its event loop by it in this child "
             "wakes "
             "its parent's.";
    case DescriptorType::kLockedFile:
      return "A flock lock belongs to the open file: if its parent closes the file or dies, the "
             "lock "
             "stays as long as this child lives.";
  }
  return "";
}

}  // namespace

std::string descriptor_words(DescriptorType type) {
  switch (type) {
    case DescriptorType::kPipe:
      return "pipe";
    case DescriptorType::kStream:
      return "stream socket";
    case DescriptorType::kMessages:
      return "datagram socket";
    case DescriptorType::kListener:
      return "listening socket";
    case DescriptorType::kEpoll:
      return "epoll instance";
    case DescriptorType::kInotify:
      return "inotify instance";
    case DescriptorType::kEventfd:
      return "eventfd";
    case DescriptorType::kLockedFile:
      return "locked file";
  }
  return "";
}

std::string descriptor_call_word(std::uint32_t call) {
  return call < record::kDescriptorCallCount ? record::kDescriptorCalls[call].name : "";
}

std::string descriptor_evidence(SharedUse shared) {
  switch (shared) {
    case SharedUse::kBoth:
      return "both-use";
    case SharedUse::kSiblings:
      return "siblings-use";
    case SharedUse::kKept:
      return "kept-open";
  }
  return "";
}

std::string descriptor_verdict(const SharedDescriptorFacts& facts) {
  const std::string what = descriptor_words(facts.descriptor.type);
  const int number = facts.descriptor.descriptor;
  if (facts.shared == SharedUse::kKept) {
    const bool pipe = facts.descriptor.type == DescriptorType::kPipe;
    return fmt::format("kept {} it inherited open to its end, unused (descriptor {})",
                       pipe ? "the write end of a pipe" : with_article(what), number);
  }
  if (facts.descriptor.type == DescriptorType::kEpoll) {
    return fmt::format("uses the same epoll instance as {} (descriptor {})", who_else(facts),
                       number);
  }
  const char* does = facts.shared == SharedUse::kSiblings ? "talks on"
                     : facts.use == DescriptorUse::takes  ? "reads from"
                                                          : "writes to";
  return fmt::format("{} the same {} as {} (descriptor {})", does, what, who_else(facts), number);
}

std::string descriptor_explanation(const SharedDescriptorFacts& facts) {
  std::string text = fmt::format(
      "Process {} got descriptor {} by fork, so it is the same open file as in process "
      "{}. ",
      facts.child, facts.descriptor.descriptor, facts.parent);
  if (facts.shared != SharedUse::kKept) {
    return text +
           fmt::format("Both {} and process {} have used it since. ",
                       fmt::format("process {}", facts.child), facts.other) +
           mixed_words(facts);
  }
  text += "It was still open when that process ended, and no use of it was seen in there; ";
  if (facts.descriptor.kept == record::kKeptBoth)
    text += "its parent had it open, too. ";
  else
    text += fmt::format("process {} has used it meanwhile. ", facts.other);
  return text + kept_words(facts.descriptor.type);
}

std::string descriptor_cure(const SharedDescriptorFacts& facts, bool python) {
  if (facts.shared == SharedUse::kKept) {
    return fmt::format(
        "Close it first thing in the child{}, or keep one list of what children have to close. "
        "O_CLOEXEC (SOCK_CLOEXEC, EPOLL_CLOEXEC) closes it in programs that are executed, not in a "
        "child that only forks.",
        python ? " (os.close(), or the object's close())" : "");
  }
  switch (facts.descriptor.type) {
    case DescriptorType::kStream:
    case DescriptorType::kMessages:
      return python
                 ? "Connect in the worker, after the fork: in the initializer of the pool, or with "
                   "os.register_at_fork(after_in_child=...), which drops the inherited connection "
                   "without talking on it (SQLAlchemy: engine.dispose(close=False))."
                 : "Connect after the fork, in each process for itself. Let the child only close() "
                   "what it inherited, before anything is sent on it, and not by a library's "
                   "disconnect, which talks to the peer.";
    case DescriptorType::kEpoll:
    case DescriptorType::kInotify:
    case DescriptorType::kEventfd:
      return "Let the child close it and make one of its own (libevent: event_reinit(); libev: "
             "ev_loop_fork(); libuv: uv_loop_fork()), before it runs its event loop.";
    case DescriptorType::kPipe:
      return "Give each process a pipe of its own, or close in each process the end that it does "
             "not use.";
    case DescriptorType::kListener:
    case DescriptorType::kLockedFile:
      break;
  }
  return "";
}

}  // namespace forkscope
