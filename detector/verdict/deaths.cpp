#include "detector/verdict/deaths.hpp"

#include <fmt/format.h>

#include <csignal>

#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr int kLoaderFailure = 127;  // ld.so's status when an assertion of its own fails

/// Signals a process gets by what it does itself.
bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT || signal == SIGILL ||
         signal == SIGFPE || signal == SIGTRAP;
}

std::optional<Death> by_signal(const ChildOutcome& child) {
  if (child.end != ChildEnd::kSignal || !child.status || !is_fault(*child.status)) {
    return std::nullopt;
  }
  const std::string signal = signal_word(*child.status);
  return Death{"was ended by " + signal, signal};
}

std::optional<Death> by_loader(const ChildOutcome& child) {
  // A process that wants to end calls exit or _exit, which leaves a record.
  if (child.end != ChildEnd::kExit || child.said_exit || child.status != kLoaderFailure) {
    return std::nullopt;
  }
  return Death{fmt::format("was ended by the loader with status {}", kLoaderFailure),
               fmt::format("exit status {}", kLoaderFailure)};
}

}  // namespace

std::optional<Death> death_of(const record::Finding& finding,
                              const std::optional<record::Outcome>& outcome,
                              const ChildOutcome* child) {
  if (child == nullptr) return std::nullopt;
  switch (finding.evidence) {
    case record::Evidence::kFault:
    case record::Evidence::kPointsThere:
      return by_signal(*child);
    case record::Evidence::kThreadGone:
      return outcome ? std::nullopt : by_signal(*child);
    case record::Evidence::kLoaderState: {
      if (outcome) return std::nullopt;
      const auto death = by_loader(*child);
      return death ? death : by_signal(*child);
    }
    default:
      break;
  }
  // glibc aborts where the kernel refuses to wait for a thread that does not exist.
  const bool pi = (finding.lock_flags & record::kLockPi) != 0 &&
                  finding.severity == record::Severity::kDeadlock;
  const bool went_in = !outcome || *outcome == record::Outcome::kBlocked;
  return pi && went_in && child->status == SIGABRT ? by_signal(*child) : std::nullopt;
}

}  // namespace forkscope
