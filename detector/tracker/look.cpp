#include "detector/tracker/look.hpp"

#include <limits.h>
#include <link.h>
#include <linux/futex.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>

#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::look {

namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kEndPatience = 1000 * kMillisecond;
constexpr std::uint64_t kGoOnPatience = 200 * kMillisecond;
constexpr std::uint64_t kGoOnBudget = 1000 * kMillisecond;
/// Between two tries where as many wait as can: hundreds of children may hang at once.
constexpr std::uint64_t kFullPause = 5 * kMillisecond;

/// What this process may still wait for a look before it goes on. A copy has what its parent had.
constinit std::atomic<std::uint64_t> go_on_budget{kGoOnBudget};

timespec timespec_of(std::uint64_t nanoseconds) {
  return {time_t(nanoseconds / 1'000'000'000u), long(nanoseconds % 1'000'000'000u)};
}

record::ArenaHeader* header_with_command() {
  if (!process.arena.attached()) return nullptr;
  record::ArenaHeader* header = process.arena.header();
  return header->looks_taken.load(std::memory_order_relaxed) != 0 ? header : nullptr;
}

/// The arena is shared memory: no FUTEX_PRIVATE_FLAG.
void wake_command(record::ArenaHeader& header) {
  header.wake.fetch_add(1, std::memory_order_release);
  sys::call(SYS_futex, sys::arg(&header.wake), FUTEX_WAKE, INT_MAX);
}

bool try_ask(record::ArenaHeader& header, std::uint64_t finding) {
  for (std::atomic<std::uint64_t>& entry : header.looks) {
    std::uint64_t free = 0;
    if (!entry.compare_exchange_strong(free, finding, std::memory_order_release)) continue;
    wake_command(header);
    return true;
  }
  return false;
}

/// An id without a session is a number that is no offset.
bool is_written(std::uint64_t finding) { return finding >= record::kArenaHeaderSize; }

record::Finding& record_of(record::ArenaHeader& header, std::uint64_t finding) {
  return *reinterpret_cast<record::Finding*>(reinterpret_cast<std::byte*>(&header) + finding +
                                             sizeof(record::RecordHeader));
}

void await(std::uint64_t finding, std::uint64_t patience) {
  record::ArenaHeader* header = header_with_command();
  if (header == nullptr || !is_written(finding)) return;
  const std::uint64_t end = sys::now() + patience;
  while (!try_ask(*header, finding)) {
    const timespec pause = timespec_of(kFullPause);
    if (sys::now() >= end) return;
    sys::call(SYS_nanosleep, sys::arg(&pause), 0);
  }
  std::uint32_t* word = &record_of(*header, finding).looked_at;
  const timespec until = timespec_of(end);  // of CLOCK_MONOTONIC: a signal does not make it longer
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0) {
    const long result = sys::call(SYS_futex, sys::arg(word), FUTEX_WAIT_BITSET, 0,
                                  sys::arg(&until), 0, long(FUTEX_BITSET_MATCH_ANY));
    if (result != 0 && result != -EINTR && result != -EAGAIN) return;
  }
}

bool is_python(std::uint64_t address) {
  dl_find_object found{};
  if (address == 0 || _dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return false;
  const char* path = found.dlfo_link_map->l_name;
  if (path == nullptr) return false;
  if (*path == '\0') return process.is_python;
  const char* slash = std::strrchr(path, '/');
  return std::strncmp(slash != nullptr ? slash + 1 : path, "libpython", 9) == 0;
}

}  // namespace

void ask(std::uint64_t finding) {
  record::ArenaHeader* header = header_with_command();
  if (header != nullptr && is_written(finding)) try_ask(*header, finding);
}

void await_before_end(std::uint64_t finding) { await(finding, kEndPatience); }

void await_in_python(std::uint64_t finding) {
  record::ArenaHeader* header = header_with_command();
  const std::uint64_t budget = go_on_budget.load(std::memory_order_relaxed);
  if (budget == 0 || header == nullptr || !is_written(finding)) return;
  const record::Finding& written = record_of(*header, finding);
  const std::uint16_t frames = std::min<std::uint16_t>(written.waiter_frames, record::kMaxFrames);
  if (std::none_of(written.waiter, written.waiter + frames, is_python)) return;
  // The interpreter's own locks are no risk: is_no_risk() in verdict/findings.cpp leaves them out.
  if (written.lock_type == record::LockType::kSemaphore && is_python(written.waiter[0]) &&
      waits_of(written.call) != record::Waits::kTry)
    return;
  const std::uint64_t begin = sys::now();
  await(finding, std::min(kGoOnPatience, budget));
  go_on_budget.store(budget - std::min(budget, sys::now() - begin), std::memory_order_relaxed);
}

}  // namespace forkscope::look
