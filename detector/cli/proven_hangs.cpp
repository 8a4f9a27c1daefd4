#include "detector/cli/proven_hangs.hpp"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>

#include "detector/cli/watched_process.hpp"
#include "detector/inspect/live_process.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/small_file.hpp"

namespace forkscope::cli {
namespace {

constexpr std::size_t kMostHangs = 256;
/// A mutex of glibc, and with it its owner.
constexpr std::size_t kLockWords = 5;

}  // namespace

std::optional<ProvenHangs::Key> ProvenHangs::key_of(const Process& process) {
  const auto watched = WatchedProcess::open(process.pid);
  if (!watched || watched->id().start != process.start || !watched->forked() ||
      watched->thread_count() != 1)
    return std::nullopt;
  const auto place = watched->place();
  const auto parent = find_process(watched->id().parent);
  const auto status = parse_status(read_small_file(fmt::format("/proc/{}/status", process.pid)));
  if (!place || !place->for_ever_in_futex || !parent || !status) return std::nullopt;
  // Whoever shares its memory could wake it: a child of vfork, its parent.
  if (syscall(SYS_kcmp, process.pid, parent->pid, KCMP_VM, 0, 0) <= 0) return std::nullopt;
  const auto live = LiveProcess::open(process.pid);
  if (!live || live->shares_memory() != false || live->has_io_uring()) return std::nullopt;
  std::array<std::uint64_t, kLockWords> words;
  if (!live->memory().read(place->arguments[0], std::as_writable_bytes(std::span(words))))
    return std::nullopt;
  Key key{std::uint64_t(parent->pid),
          parent->start,
          std::uint64_t(place->call),
          place->arguments[0],
          place->arguments[1],
          place->sp,
          place->pc,
          status->caught};
  key.insert(key.end(), words.begin(), words.end());
  return key;
}

void ProvenHangs::add(const Process& process, const Evidence& evidence,
                      const Diagnosis& diagnosis) {
  // Which line of Python it is at may differ where the machine code does not. And what only the
  // memory of one remembers of its fork, the next one's may not.
  if (diagnosis.answer != Answer::kDeadlock || evidence.process.threads.size() != 1 ||
      !diagnosis.finding || !diagnosis.finding->waiter.python.empty() || diagnosis.lost.empty() ||
      evidence.ancestors.empty() || hangs_.size() >= kMostHangs) {
    return;
  }
  const auto key = key_of(process);
  if (!key) return;
  Hang hang{diagnosis, {process.pid, evidence.process.threads.front().name}, {}};
  for (const ThreadEvidence& thread : evidence.ancestors.front().threads)
    if (std::any_of(diagnosis.lost.begin(), diagnosis.lost.end(),
                    [&](const ThreadReport& lost) { return lost.tid == thread.tid; }))
      hang.lost.push_back({thread.start, thread.tid});
  hangs_.emplace(*key, std::move(hang));
}

std::optional<Diagnosis> ProvenHangs::find(const Process& process) const {
  if (hangs_.empty()) return std::nullopt;
  const auto key = key_of(process);
  const auto found = key ? hangs_.find(*key) : hangs_.end();
  if (found == hangs_.end()) return std::nullopt;
  const Hang& hang = found->second;
  // The threads that were left behind then must have lived when this one was made, too: they live
  // still, so they did if they are older. Within a tick of the clock the ids tell.
  const bool all_older = std::all_of(hang.lost.begin(), hang.lost.end(), [&](const Lost& lost) {
    return lost.start < process.start || (lost.start == process.start && lost.tid < process.pid);
  });
  const auto stat = parse_stat(read_small_file(fmt::format("/proc/{}/stat", process.pid)));
  if (!all_older || !stat || stat->start != process.start) return std::nullopt;
  return retold(hang.diagnosis, hang.likeness, {process.pid, stat->name});
}

}  // namespace forkscope::cli
