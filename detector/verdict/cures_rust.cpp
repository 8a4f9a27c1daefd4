// Cures for Rust: its standard library registers no handlers, and cannot be told to.
#include <fmt/format.h>

#include "detector/verdict/cures.hpp"

namespace forkscope {
namespace {

using record::Kind;
using record::LockType;

constexpr const char* kNoFork =
    "Start the process with std::process::Command, without pre_exec(): it executes at once. Or "
    "fork before threads are spawned.";

std::string name_of(const LockInfo& lock) { return lock.symbol.empty() ? "the lock" : lock.symbol; }

std::string orphan_cure(const CureFacts& facts) {
  if (facts.owner.owner == Owner::kRuntime)
    return fmt::format("{} {} is the standard library's own: nothing but that keeps other threads "
                       "from it at a fork.",
                       kNoFork, name_of(facts.lock));
  if (facts.lock_type == LockType::kOnce || facts.lock_type == LockType::kStaticGuard)
    return "Initialise the value before the first fork, at the start of main(): "
           "OnceLock::get_or_init(), LazyLock::force(), or a call of what uses it. Or start the "
           "process with std::process::Command, without pre_exec().";
  return fmt::format(
      "{} If it must be fork(), let the forking thread hold the lock itself: lock {} before "
      "fork() and drop the guard after it, in parent and child. Then no other thread can hold it, "
      "and what it protects is whole.",
      kNoFork, name_of(facts.lock));
}

std::string lost_thread_cure(const CureFacts& facts) {
  if (facts.lock_type == LockType::kThread)
    return fmt::format("{} In the child do not join what the parent spawned: drop the JoinHandle, "
                       "and spawn threads of the child's own.",
                       kNoFork);
  return fmt::format(
      "{} Otherwise the child never uses what the parent's threads serve, and makes its own: a "
      "runtime (tokio::runtime::Runtime::new()), or a pool (rayon::ThreadPoolBuilder::build() and "
      "install(): rayon's global pool is not made anew, once it was used before the fork).",
      kNoFork);
}

}  // namespace

std::string rust_cure(const CureFacts& facts) {
  switch (facts.kind) {
    case Kind::kOrphanedLock:
      return orphan_cure(facts);
    case Kind::kLostThread:
      return lost_thread_cure(facts);
    case Kind::kSelfHeldLock:
    case Kind::kStaleOwner:
      return fmt::format("Drop the guard of {} before fork(), or start the process with "
                         "std::process::Command.",
                         name_of(facts.lock));
    default:
      return native_cure(facts);
  }
}

}  // namespace forkscope
