// What the readers of the single layouts share: the wait and the bytes around it, and how much a
// reading explains. Part of lock_layout.cpp; pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "detector/verdict/outside/lock_layout.hpp"

namespace forkscope::layout {

/// How much speaks for a reading, counted where memory is compared. Zeros are common in memory and
/// count little, whatever a layout demands of them; a small number says more, and a pointer to
/// itself, a flag word or a thread's TID in its place much more.
enum Points : int {
  kAnything = 0,      ///< every word fits: a reading only for those who know the function
  kZero = 1,          ///< a word that must be zero
  kAgrees = 2,        ///< a word with few legal values that agrees with the system call
  kCommon = 3,        ///< the awaited word itself, of a value others use too (1, 2)
  kSmallNumber = 5,   ///< not zero, and within what can be
  kMark = 8,          ///< the awaited word, of a value hardly anything else uses
  kThread = 10,       ///< a word that can be a TID
  kSelfPointer = 20,  ///< a pointer that must have exactly this value
};
/// From here on the bytes are more than a coincidence of small numbers.
constexpr int kRich = 18;
/// By how much the best reading must lead those of other families.
constexpr int kLead = 4;

/// Linux gives no TID above this (PID_MAX_LIMIT).
constexpr std::uint32_t kMostTid = 1u << 22;
constexpr bool is_tid(std::uint32_t word) { return word != 0 && word <= kMostTid; }
/// More threads than this do not wait for one lock, nor use it.
constexpr std::uint32_t kMostThreads = 100'000;
constexpr bool is_count(std::uint64_t word) { return word != 0 && word <= kMostThreads; }

/// An address a 64-bit process can have.
constexpr bool is_pointer(std::uint64_t word) {
  return word > 0xffff && word < (std::uint64_t(1) << 56);
}

struct Candidate {
  RecognisedLock lock;
  int points = 0;
};

/// A wait and the memory it is judged with.
struct Scene {
  const FutexWait& wait;
  const EvidenceMemory& memory;
  Abi abi;
  std::vector<Candidate>& found;

  /// The word or pair of words at an offset from the awaited one.
  std::optional<std::uint32_t> word(std::int64_t offset) const {
    return memory.get<std::uint32_t>(wait.address + std::uint64_t(offset));
  }
  std::optional<std::uint64_t> two_words(std::int64_t offset) const {
    return memory.get<std::uint64_t>(wait.address + std::uint64_t(offset));
  }
  std::optional<std::uint8_t> byte(std::int64_t offset) const {
    return memory.get<std::uint8_t>(wait.address + std::uint64_t(offset));
  }
  bool aligned(std::int64_t offset, std::uint64_t to) const {
    return (wait.address + std::uint64_t(offset)) % to == 0;
  }
  /// glibc's older waits, the Rust runtime's and the kernel's use different operations: a wait that
  /// has no time limit is FUTEX_WAIT_BITSET only where the caller always uses that.
  bool plain_untimed() const { return !wait.timed && !wait.bitset; }
  bool bitset_untimed() const { return !wait.timed && wait.bitset; }

  void add(RecognisedLock lock, int points) const { found.push_back({std::move(lock), points}); }
  /// A lock whose first byte is `offset` from the awaited word.
  RecognisedLock lock(LockFamily family, std::string type, std::int64_t offset = 0) const {
    RecognisedLock result;
    result.family = family;
    result.type = std::move(type);
    result.address = wait.address + std::uint64_t(offset);
    return result;
  }
};

/// "1 reader", "2 readers".
std::string counted(std::uint64_t number, const char* noun);

// Each adds what the bytes can be read as; nothing when they fit none of its layouts.
void read_glibc_mutex(const Scene& scene);
void read_glibc_rwlock(const Scene& scene);
void read_glibc_condition(const Scene& scene);
void read_glibc_semaphore(const Scene& scene);
void read_glibc_barrier(const Scene& scene);
void read_glibc_once(const Scene& scene);
void read_glibc_join(const Scene& scene);
void read_glibc_internal(const Scene& scene);
void read_musl(const Scene& scene);
/// Readings of a word that is not what the kernel compared any more, where that is no sign that the
/// thread goes on: musl's pthread_cond_signal lets its waiter sleep on, on the mutex.
void read_musl_requeued(const Scene& scene);
void read_rust(const Scene& scene);
void read_parking_lot(const Scene& scene);
void read_abseil(const Scene& scene);
void read_libgomp(const Scene& scene);
void read_static_guard(const Scene& scene);
void read_atomic_wait(const Scene& scene);
void read_python(const Scene& scene);

}  // namespace forkscope::layout
