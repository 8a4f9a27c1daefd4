// pthread_cond_t of glibc 2.25 and later (record/glibc_condition.hpp; nptl/pthread_cond_wait.c explains
// the algorithm).
#include "detector/record/glibc_condition.hpp"
#include "detector/verdict/outside/layout_fit.hpp"

namespace forkscope::layout {
namespace {

constexpr std::uint32_t kDestroying = 4;  // a bit of __wrefs

struct Words {
  std::uint64_t sequence, start;
  std::uint32_t original, waiters, references[2], signals[2];
};

std::optional<Words> words(const Scene& scene, std::int64_t at, const ConditionLayout& fields) {
  auto sequence = scene.two_words(at + kConditionSequence), start = scene.two_words(at + kConditionStart);
  auto original = scene.word(at + fields.original), waiters = scene.word(at + fields.waiters);
  auto signals0 = scene.word(at + fields.signals), signals1 = scene.word(at + fields.signals + 4);
  if (!sequence || !start || !original || !waiters || !signals0 || !signals1) return std::nullopt;
  Words result{*sequence, *start, *original, *waiters, {0, 0}, {*signals0, *signals1}};
  if (fields.references >= 0) {
    auto refs0 = scene.word(at + fields.references), refs1 = scene.word(at + fields.references + 4);
    if (!refs0 || !refs1) return std::nullopt;
    result.references[0] = *refs0;
    result.references[1] = *refs1;
  }
  return result;
}

/// Points for a structure with `waiters` in it, negative when it is none.
int common_points(const Scene& scene, const Words& words, bool is_old) {
  constexpr int kNot = -1000;
  const std::uint32_t waiters = words.waiters >> kConditionWaiterShift;
  if (((words.waiters & kConditionShared) == 0) != scene.wait.is_private) return kNot;
  if (!is_count(waiters)) return kNot;
  if ((words.original & kConditionLockMask) == kConditionLockMask) return kNot;
  // Positions of waiters: the sequence counts in twos, and so did the start before 2.41.
  const std::uint64_t next = words.sequence >> 1;
  const std::uint64_t first = is_old ? words.start >> 1 : words.start;
  if (next == 0 || next < first || next - first > 0x7fffffff) return kNot;
  int points = kSmallNumber + 2 * kAgrees;
  if (next >> 40 == 0) points += kAgrees;  // hardly anybody ever waited as often
  for (std::uint32_t references : words.references)
    if ((references >> 1) > waiters) return kNot;
  return points;
}

void add(const Scene& scene, const Words& words, std::int64_t at, int points, bool is_destroyed,
         const char* does) {
  RecognisedLock lock = scene.lock(LockFamily::kCondition, "condition variable", at);
  lock.process_shared = (words.waiters & kConditionShared) != 0;
  lock.state = counted(words.waiters >> kConditionWaiterShift, is_destroyed ? "waiter" : "recorded waiter");
  if (*does != 0) lock.state += std::string(", ") + does;
  scene.add(std::move(lock), points);
}

void read_waiter(const Scene& scene, const ConditionLayout& fields) {
  const bool is_old = fields.references >= 0;
  for (int group : {0, 1}) {
    const std::int64_t at = -(fields.signals + 4 * group);
    if (!scene.aligned(at, 8)) continue;
    auto found = words(scene, at, fields);
    if (!found) continue;
    int points = common_points(scene, *found, is_old);
    if (points < 0) continue;
    if (is_old) {
      // Signals that are there are taken, not waited for; bit 0 says the group is closed.
      if (scene.wait.expected != 0 || (found->references[group] >> 1) == 0) continue;
      points += kZero + 2 * kSmallNumber;
    } else {
      // Signals count from the start of the older group.
      auto available = std::int32_t(scene.wait.expected - std::uint32_t(found->start));
      if (available > 0) continue;
      points += available == 0 ? kSmallNumber : kZero;
      auto sizes = scene.two_words(at + fields.sizes), unused = scene.two_words(at + 40);
      if (!sizes) continue;
      if (unused && *unused == 0) points += 2 * kZero;
    }
    add(scene, *found, at, points, false, "");
  }
}

/// pthread_cond_destroy waits for the waiters, and everybody for the internal lock. Until 2.40 a
/// signal waits for the waiters of the older group (__condvar_quiesce_and_switch_g1).
void read_others(const Scene& scene, const ConditionLayout& fields) {
  if (!scene.plain_untimed()) return;
  const bool is_old = fields.references >= 0;
  auto try_word = [&](std::int64_t offset, auto fits, const char* does) {
    const std::int64_t at = -offset;
    if (!scene.aligned(at, 8)) return;
    auto found = words(scene, at, fields);
    if (!found) return;
    int points = common_points(scene, *found, is_old);
    if (points < 0 || !fits(*found)) return;
    add(scene, *found, at, points + kMark, true, does);
  };
  const std::uint32_t expected = scene.wait.expected;
  try_word(
      fields.waiters,
      [&](const Words&) {
        return (expected & kDestroying) != 0 && (expected >> kConditionWaiterShift) != 0;
      },
      "being destroyed");
  try_word(
      fields.original, [&](const Words&) { return (expected & kConditionLockMask) == 2; },
      "its internal lock is taken");
  if (!is_old) return;
  for (int group : {0, 1})
    try_word(
        fields.references + 4 * group,
        [&](const Words&) { return (expected & 1) != 0 && (expected >> 1) != 0; },
        "a signal waits for those woken before");
}

}  // namespace

void read_glibc_condition(const Scene& scene) {
  if (scene.wait.pi) return;
  for (const ConditionLayout& fields : {kConditionWithReferences, kConditionWithoutReferences}) {
    read_waiter(scene, fields);
    read_others(scene, fields);
  }
}

}  // namespace forkscope::layout
