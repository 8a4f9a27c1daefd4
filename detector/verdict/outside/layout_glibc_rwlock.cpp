// pthread_rwlock_t of glibc (sysdeps/nptl/bits/struct_rwlock.h and those of the architectures; the
// states are explained in nptl/pthread_rwlock_common.c). Three of its words are waited on.
#include "detector/verdict/outside/layout_fit.hpp"

namespace forkscope::layout {
namespace {

constexpr std::int64_t kReaders = 0, kWriters = 4, kPhaseFutex = 8, kWritersFutex = 12, kPad3 = 16;

// Bits of __readers.
constexpr std::uint32_t kWritePhase = 1, kWriteLocked = 2, kReadersWait = 4;
constexpr int kReaderShift = 3;
constexpr std::uint32_t kHandover = 0x80000000;  // of __writers

/// Where the rest is. x86-64, AArch64, RISC-V, s390x and POWER have words of their own for it; the
/// architectures without a header of their own (LoongArch) have the short form.
struct Tail {
  std::int64_t writer, shared, flags;
  bool words;  ///< `shared` and `flags` are whole words
  std::int64_t end;
};
constexpr Tail kWide{24, 28, 48, true, 52}, kShort{28, 25, 24, false, 32};

struct Words {
  std::uint32_t readers, writers, phase, writers_futex, writer, shared, flags;
};

std::optional<std::uint32_t> field(const Scene& scene, std::int64_t offset, bool whole) {
  if (whole) return scene.word(offset);
  auto byte = scene.byte(offset);
  if (!byte) return std::nullopt;
  return *byte;
}

std::optional<Words> words(const Scene& scene, std::int64_t at, const Tail& tail) {
  auto readers = scene.word(at + kReaders), writers = scene.word(at + kWriters),
       phase = scene.word(at + kPhaseFutex), futex = scene.word(at + kWritersFutex),
       writer = scene.word(at + tail.writer);
  auto shared = field(scene, at + tail.shared, tail.words),
       flags = field(scene, at + tail.flags, tail.words);
  auto pads = scene.two_words(at + kPad3);
  if (!readers || !writers || !phase || !futex || !writer || !shared || !flags || !pads)
    return std::nullopt;
  if (*pads != 0) return std::nullopt;  // zeroed by the initializer, and never used
  return Words{*readers, *writers, *phase, *futex, *writer, *shared, *flags};
}

void describe(RecognisedLock& lock, const Words& words) {
  const std::uint32_t count = words.readers >> kReaderShift;
  const std::uint32_t writers = words.writers & ~kHandover;
  if ((words.readers & kWriteLocked) != 0 && (words.readers & kWritePhase) != 0) {
    lock.held = true;
    lock.mode = "write";
    lock.owner = std::int32_t(words.writer);
    lock.compares_owner = true;  // __pthread_rwlock_unlock lets only that thread go as writer
    if (count != 0) lock.state = counted(count, "waiting reader");
  } else if (count != 0 && (words.readers & kWritePhase) == 0) {
    lock.held = true;
    lock.mode = "read";
    lock.state = counted(count, "reader");
    if ((words.readers & kWriteLocked) != 0) lock.state += ", a writer waits";
  }
  if (writers != 0 && lock.mode == "write")
    lock.state += (lock.state.empty() ? "" : ", ") + counted(writers, "waiting writer");
}

void read_at(const Scene& scene, std::int64_t at, const Tail& tail) {
  if (!scene.aligned(at, 8)) return;
  auto found = words(scene, at, tail);
  if (!found || found->shared > 1 || found->flags > 2) return;
  if ((found->shared == 0) != scene.wait.is_private) return;
  if (found->phase > 3 || found->writers_futex > 3) return;
  if (found->writer != 0 && !is_tid(found->writer)) return;
  const std::uint32_t count = found->readers >> kReaderShift;
  if (count > kMostThreads || (found->writers & ~kHandover) > kMostThreads) return;
  const bool write_locked = (found->readers & kWriteLocked) != 0;
  const bool write_phase = (found->readers & kWritePhase) != 0;
  if (found->writer != 0 && !(write_locked && write_phase)) return;

  int points = 4 * kZero + kAgrees;
  const std::uint32_t expected = scene.wait.expected;
  if (-at == kReaders) {
    // Readers that let a writer go first: explicit hand-over by the last reader.
    if ((expected & kReadersWait) == 0 || count == 0 || !write_locked) return;
    points += kSmallNumber + kAgrees;
  } else if (-at == kPhaseFutex) {
    if (expected == 3) {  // a reader, for the end of a write phase
      if (!write_phase || count == 0) return;
    } else if (expected == 2) {  // the first writer, for the last reader
      if (write_phase || !write_locked || count == 0) return;
    } else {
      return;
    }
    points += kCommon + kSmallNumber;
  } else {  // a writer, for the one before it
    if (expected != 3 || !write_locked) return;
    points += kCommon + kAgrees;
  }
  if (found->writer != 0) points += kThread;
  if (count != 0) points += kSmallNumber;
  if (found->writers != 0) points += kAgrees;
  points += found->flags == 0 ? kZero : kAgrees;
  RecognisedLock lock = scene.lock(LockFamily::kRwlock, "read-write lock", at);
  lock.process_shared = found->shared != 0;
  describe(lock, *found);
  scene.add(std::move(lock), points);
}

}  // namespace

void read_glibc_rwlock(const Scene& scene) {
  if (scene.wait.pi) return;
  for (std::int64_t offset : {kReaders, kPhaseFutex, kWritersFutex}) {
    read_at(scene, -offset, kWide);
    if (scene.abi == Abi::kGeneric64) read_at(scene, -offset, kShort);
  }
}

}  // namespace forkscope::layout
