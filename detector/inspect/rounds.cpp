#include "detector/inspect/rounds.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "detector/inspect/observe.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/small_file.hpp"
#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/spin.hpp"
#include "detector/verdict/outside/waits.hpp"

namespace forkscope {
namespace {

using namespace std::chrono_literals;

// Waits of a second are seen to begin again often enough in the longest time.
constexpr auto kLeast = 2s, kLongest = 5s;
constexpr std::uint64_t kEnoughTurns = 5;
constexpr std::size_t kMostThreads = 64;
constexpr int kFirstLooks = 5;  ///< after which one that only runs is left alone
constexpr std::uint64_t kReadsOfLibrary = 2;  ///< of a turn
constexpr int kTries = 8;  ///< to find a thread asleep where it sleeps most

bool may_sleep_for_a_time(const ThreadEvidence& thread, Abi abi) {
  const Wait wait = wait_of(thread, abi);
  return wait.kind == WaitKind::kTime || wait.kind == WaitKind::kRunning || (wait.kind == WaitKind::kFutex && !wait.for_ever);
}

/// A wait that was interrupted, by a stop of ours above all, goes on under this number.
bool is_restarted(const SystemCall& call) { return call.number == SYS_restart_syscall; }

/// Descriptors of which 8 bytes are read: eventfd(2), timerfd_create(2).
bool has_counters(pid_t pid) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid), error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target == "anon_inode:[eventfd]" || target == "anon_inode:[timerfd]") return true;
  }
  return static_cast<bool>(error);
}

bool same_place(const SystemCall& a, const SystemCall& b) {
  return a.number == b.number && a.sp == b.sp && a.pc == b.pc;
}

}  // namespace

bool may_go_round(const Evidence& evidence) {
  const ProcessEvidence& process = evidence.process;
  return may_spin_for_lost_thread(evidence) && process.threads.size() <= kMostThreads &&
         std::any_of(process.threads.begin(), process.threads.end(),
                     [&](const ThreadEvidence& thread) {
                       return may_sleep_for_a_time(thread, process.abi);
                     });
}

std::unique_ptr<RoundsSampler> RoundsSampler::start(const Evidence& evidence) {
  auto live = LiveProcess::open(evidence.process.pid);
  const auto stat = live ? live->stat() : std::nullopt;
  if (!stat || stat->start != evidence.process.start) return nullptr;
  std::unique_ptr<RoundsSampler> sampler(
      new RoundsSampler(std::move(live), evidence.process.abi));
  for (const ThreadEvidence& thread : evidence.process.threads) {
    sampler->seen_.emplace_back();
    sampler->seen_.back().rounds.tid = thread.tid;
  }
  sampler->uses_ = sampler->descriptor_uses();
  return sampler;
}

RoundsSampler::Uses RoundsSampler::descriptor_uses() const {
  std::istringstream text(read_small_file(fmt::format("/proc/{}/io", live_->pid())));
  Uses uses;
  std::uint64_t value = 0;
  for (std::string name; text >> name >> value;) {
    if (name == "syscr:") uses.reads = value;
    if (name == "syscw:") uses.writes = value;
    if (name == "rchar:") uses.bytes = value;
  }
  return uses;
}

/// Our own library reads the entry of a page, 8 bytes, each time a lock that a lost thread held is
/// asked for (tracker/sys.cpp). Programs that have descriptors of which 8 bytes are read are none.
bool RoundsSampler::are_of_library(const Uses& now, const ProcessEvidence& process) const {
  const bool has_library =
      std::any_of(process.modules.begin(), process.modules.end(), [](const ModuleRecord& module) {
        return is_library(module.path, "libforkscope");
      });
  std::uint64_t turns = 0;
  for (const Seen& seen : seen_) turns += seen.rounds.turns;
  const std::uint64_t reads = now.reads - uses_.reads;
  return has_library && now.writes == uses_.writes && now.bytes - uses_.bytes == 8 * reads &&
         reads <= kReadsOfLibrary * (turns + 1) && !has_counters(live_->pid());
}

bool RoundsSampler::look_at(Seen& seen) {
  const std::string folder = fmt::format("/proc/{}/task/{}/", live_->pid(), seen.rounds.tid);
  const auto read = parse_syscall(read_small_file(folder + "syscall"));
  std::istringstream schedule(read_small_file(folder + "schedstat"));
  std::uint64_t ran = 0, in_line = 0, turns = 0;
  if (!read || !(schedule >> ran >> in_line >> turns)) return false;
  Rounds& rounds = seen.rounds;
  if (looks_ == 0) {
    seen.first_turns = turns;
    seen.first_ran = ran;
  }
  rounds.turns = turns - seen.first_turns;
  rounds.ran_ns = ran - seen.first_ran;
  if (read->running) return ++rounds.awake, true;
  const SystemCall& call = read->call;
  if (is_restarted(call)) {
    if (seen.known && call.sp == rounds.call.sp && call.pc == rounds.call.pc) ++rounds.asleep;
    return true;
  }
  std::uint64_t word = 0;
  if (const Wait wait = wait_of(call, abi_); wait.futex)
    word = live_->memory().get<std::uint32_t>(wait.futex->address).value_or(0);
  if (!seen.known || !same_place(call, rounds.call)) {
    // The first place is not always the one.
    if (seen.known && rounds.asleep > rounds.elsewhere) return ++rounds.elsewhere, true;
    rounds.elsewhere += rounds.asleep;
    rounds.asleep = 0;
    rounds.same_word = seen.known = true;
  } else if (call.arguments[0] != rounds.call.arguments[0] || word != seen.word) {
    rounds.same_word = false;
  }
  ++rounds.asleep;
  rounds.call = call;
  seen.word = word;
  return true;
}

/// Else it runs, which is another matter.
bool RoundsSampler::sleeps_mostly() const {
  return std::all_of(seen_.begin(), seen_.end(), [](const Seen& seen) {
    return seen.rounds.awake <= seen.rounds.asleep + seen.rounds.elsewhere;
  });
}

bool RoundsSampler::look() {
  for (Seen& seen : seen_)
    if (!look_at(seen)) return false;
  ++looks_;
  const auto over = std::chrono::steady_clock::now() - begin_;
  const bool enough = over >= kLeast && std::all_of(seen_.begin(), seen_.end(), [](const Seen& s) {
                        return s.rounds.turns == 0 || s.rounds.turns >= kEnoughTurns;
                      });
  return !enough && over < kLongest && (looks_ < kFirstLooks || sleeps_mostly());
}

std::optional<Evidence> RoundsSampler::evidence(Namer& namer) const {
  // A stack can be had of a thread that sleeps.
  for (int tries = 0; tries < kTries; ++tries) {
    auto evidence = observe(live_->pid(), {}, namer);
    if (!evidence || !live_->stat()) return std::nullopt;
    const bool asleep = std::all_of(
        evidence->process.threads.begin(), evidence->process.threads.end(),
        [&](const ThreadEvidence& thread) {
          return std::any_of(seen_.begin(), seen_.end(), [&](const Seen& seen) {
            return seen.rounds.tid == thread.tid && thread.call && seen.known &&
                   same_place(*thread.call, seen.rounds.call);
          });
        });
    if (!asleep && tries + 1 < kTries) continue;
    for (const Seen& seen : seen_) evidence->rounds.push_back(seen.rounds);
    evidence->rounds_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                              begin_)
            .count());
    const Uses uses = descriptor_uses();
    evidence->read_or_wrote = uses != uses_ && !are_of_library(uses, evidence->process);
    evidence->has_children =
        !read_small_file(fmt::format("/proc/{0}/task/{0}/children", live_->pid())).empty();
    evidence->lasted = true;
    // What slept for all that time is settled; what did not is told by its rounds.
    for (ThreadEvidence& thread : evidence->process.threads)
      thread.settled = thread.settled &&
                       std::any_of(seen_.begin(), seen_.end(), [&](const Seen& seen) {
                         return seen.rounds.tid == thread.tid && seen.rounds.turns == 0;
                       });
    return evidence;
  }
  return std::nullopt;
}

}  // namespace forkscope
