#include "detector/cli/watch_sibling.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <span>
#include <string_view>

#include "detector/cli/watched_process.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/small_file.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {
namespace {

/// A mutex of glibc, and with it its owner.
constexpr std::size_t kLockWords = 5;

std::optional<ProcStatus> status_of(pid_t pid) {
  return parse_status(read_small_file(fmt::format("/proc/{}/status", pid)));
}

}  // namespace

std::optional<SiblingKey> sibling_key(const Process& process) {
  const auto watched = WatchedProcess::open(process.pid);
  if (!watched || watched->id().start != process.start || !watched->forked() ||
      watched->thread_count() != 1)
    return std::nullopt;
  const auto place = watched->place();
  const auto parent = find_process(watched->id().parent);
  const auto status = status_of(process.pid);
  if (!place || !place->for_ever_in_futex || !parent || !status) return std::nullopt;
  // Greater than 0: they differ. A child of vfork shares its parent's.
  if (syscall(SYS_kcmp, process.pid, parent->pid, KCMP_VM, 0, 0) <= 0) return std::nullopt;
  std::array<std::uint64_t, kLockWords> words;
  LiveMemory memory(process.pid);
  if (!memory.read(place->arguments[0], std::as_writable_bytes(std::span(words))))
    return std::nullopt;
  SiblingKey key{std::uint64_t(parent->pid),
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

}  // namespace forkscope::cli
