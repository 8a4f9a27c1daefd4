#include "detector/tracker/conclusion.hpp"

#include <signal.h>

#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

/// Findings of this process already written: a loop around trylock says it once. A hash set; where
/// it is full, hazards are no longer told, deadlocks always.
class Told {
 public:
  /// Whether it has not been told yet; it has from now on.
  bool first(const void* object, Severity severity) {
    Entry* entry = find(object, severity);
    if (entry == nullptr) return severity == Severity::kDeadlock;
    if (entry->object == object && entry->generation == process.generation) return false;
    *entry = {object, process.generation, severity};
    return true;
  }
  void forget(const void* object) {
    Entry* entry = find(object, Severity::kDeadlock);
    if (entry != nullptr && entry->object == object) entry->object = nullptr;
  }

 private:
  struct Entry {
    const void* object;
    std::uint32_t generation;
    Severity severity;
  };
  /// Its entry, or one that is free or of a process before this one, or null.
  Entry* find(const void* object, Severity severity) {
    auto hash = (reinterpret_cast<std::uintptr_t>(object) >> 3) * 0x9e3779b97f4a7c15u >> 32;
    Entry* usable = nullptr;
    for (std::uint32_t probe = 0; probe < kProbes; ++probe) {
      Entry& entry = entries_[(hash + probe) % kEntries];
      bool current = entry.object != nullptr && entry.generation == process.generation;
      if (current && entry.object == object && entry.severity == severity) return &entry;
      if (!current && usable == nullptr) usable = &entry;
    }
    return usable;
  }
  static constexpr std::uint32_t kEntries = 1024, kProbes = 16;
  Entry entries_[kEntries];
};
constinit Told told{};

/// Ends the process where that was asked for; else says whether the lock may be taken away.
Outcome act() {
  switch (process.options.on_deadlock) {
    case OnDeadlock::kReport:
      return Outcome::kBlocked;
    case OnDeadlock::kKill:
      return Outcome::kKilled;
    case OnDeadlock::kAbort:
      return Outcome::kAborted;
    case OnDeadlock::kExit:
      return Outcome::kExited;
    case OnDeadlock::kBreak:
      return Outcome::kBroken;
  }
  return Outcome::kBlocked;
}

void raise_default(int signal) {
  struct {  // the kernel's struct sigaction
    std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  } defaults;
  std::uint64_t unblocked = std::uint64_t{1} << (signal - 1);
  sys::call(SYS_rt_sigaction, signal, sys::arg(&defaults), 0, 8);
  sys::call(SYS_rt_sigprocmask, 1 /* SIG_UNBLOCK of the kernel */, sys::arg(&unblocked), 0, 8);
  sys::call(SYS_tgkill, process.pid, sys::gettid(), signal);
}

/// Writes what becomes of the child, then does it.
void carry_out(std::uint64_t finding, Outcome outcome) {
  write_finding_end(finding, outcome);
  switch (outcome) {
    case Outcome::kKilled:
      sys::call(SYS_kill, process.pid, SIGKILL);
      sys::call(SYS_exit_group, 128 + SIGKILL);  // a sandbox forbade it
      break;
    case Outcome::kAborted:
      raise_default(SIGABRT);
      break;
    case Outcome::kExited:
      sys::call(SYS_exit_group, process.options.exit_status);
      break;
    case Outcome::kBlocked:
    case Outcome::kBroken:
    case Outcome::kAcquired:
      break;
  }
}

}  // namespace

Conclusion conclude(const Meeting& meeting, bool breakable, Act may_act) {
  if (process.probe) return {inject::probing::conclude(meeting), false};
  const bool deadlock = meeting.severity == Severity::kDeadlock;
  if (!deadlock && process.arena.crowded()) return {};
  if (!told.first(meeting.object, meeting.severity)) return {};
  std::uint64_t finding = write_finding(meeting);
  if (!deadlock) return {finding, false};
  Outcome outcome = may_act == Act::kYes ? act() : Outcome::kBlocked;
  if (outcome == Outcome::kBroken && !breakable) outcome = Outcome::kBlocked;
  carry_out(finding, outcome);
  return {finding, outcome == Outcome::kBroken};
}

void take_back(std::uint64_t finding, const void* object) {
  write_finding_end(finding, Outcome::kAcquired);
  told.forget(object);
}

}  // namespace forkscope
