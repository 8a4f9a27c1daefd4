// Which lock the word is that a thread waits on, decided from the bytes around it, and what its
// state says. Pure functions; thread-safe.
//
// Memory alone is ambiguous: a glibc-internal lock, a Rust Mutex and the first word of a mutex may
// all be a 2. So every reading has a confidence, and whoever knows the function that waits (from
// the stack) passes it on as a hint.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

enum class LockFamily {
  kUnknown,
  kMutex,  ///< pthread_mutex_t of any kind, std::mutex, mtx_t
  kRwlock,
  kCondition,
  kSemaphore,
  kOnce,
  kBarrier,
  kJoin,         ///< the thread descriptor's tid, of pthread_join
  kLibcLock,     ///< inside libc or the loader
  kStaticGuard,  ///< __cxa_guard_acquire
  kRustMutex,
  kRustRwlock,
  kRustCondvar,
  kRustOnce,
  kRustParker,  ///< std::thread::park; rayon and others build on it
  kParkingLot,  ///< the word is its thread's; `address` is the lock's where that can be read
  kAbseil,      ///< its waiter semaphore: a word of the waiting thread, not the lock
  kGompBarrier,
  kGompLock,
  kPyMutex,     ///< CPython 3.13 and later: its parking lot's semaphore; `address` likewise
  kAtomicWait,  ///< std::atomic::wait
};

/// How far a reading can be trusted.
/// - kCertain: a function on the stack waits for this family, and the bytes agree.
/// - kLikely: one of
///   - the bytes are structurally rich: several words in their places that would be rare by
///     coincidence (a lock word 2, an owner that can be a TID, users, a legal kind), and no other
///     layout fits nearly as well;
///   - the module that waits builds only this (libgomp), and the bytes fit;
///   - the word lies in the data of libc or the loader, and the bytes fit a lock;
///   - the function says it, and its memory is not there to be read or has changed since.
/// - kPossible: the bytes fit, others would too (a bare 2); or a function says it and the bytes
///   contradict.
/// - kNone: nothing fits, or everything does.
enum class Confidence { kNone, kPossible, kLikely, kCertain };

/// The function that waits and the modules around it, where known.
struct WaitHint {
  /// Functions from the system call outwards, as far as they are named, without templates or
  /// versions: "__lll_lock_wait", "pthread_mutex_lock". May be empty.
  std::vector<std::string> functions;
  /// File name of the module that made the system call and of the first one outside libc.
  std::string module, caller_module;
  /// File name of the module in whose data the awaited word lies; empty: heap, stack, anonymous
  /// memory, or not known.
  std::string address_module{};
};

struct FutexWait {
  std::uint64_t address = 0;
  std::uint32_t expected = 0;  ///< the value the kernel compared
  bool is_private = false;     ///< FUTEX_PRIVATE_FLAG
  bool timed = false;
  bool bitset = false;  ///< FUTEX_WAIT_BITSET, which glibc, Rust and jemalloc use
  bool pi = false;      ///< FUTEX_LOCK_PI and its kin
};

struct RecognisedLock {
  LockFamily family = LockFamily::kUnknown;
  Confidence confidence = Confidence::kNone;
  std::uint64_t address = 0;  ///< of the lock; the futex word may lie inside it
  std::string type;           ///< for people: "recursive mutex", "Rust Mutex", "condition variable"
  std::string mode;           ///< "read" or "write" where the holder has it in one of two ways
  /// TID in the process's own PID namespace, 0: none is stored. Never of a reading that is less
  /// than kLikely. Of kJoin: the thread that is waited for.
  std::int32_t owner = 0;
  bool held = false;  ///< its state says that somebody holds it
  /// Made for several processes. glibc does not tell of robust mutexes: there whether the memory is
  /// shared decides.
  bool process_shared = false;
  bool robust = false;
  bool compares_owner = false;  ///< unlocking fails for who is not the thread it names
  /// States of the lock in a few words, empty when there is nothing to say: "2 readers".
  std::string state;
};

/// Reads memory that was copied as evidence. False when it is not all there.
class EvidenceMemory {
 public:
  explicit EvidenceMemory(const std::vector<MemoryBytes>& slices) : slices_(slices) {}
  bool read(std::uint64_t address, std::span<std::byte> out) const;
  template <class T>
  std::optional<T> get(std::uint64_t address) const {
    T value;
    if (!read(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
    return value;
  }

 private:
  const std::vector<MemoryBytes>& slices_;
};

/// How many bytes before and after the awaited word recognise() may want to see.
constexpr std::uint64_t kBytesBefore = 128, kBytesAfter = 128;

/// What a thread that waits as `wait` says waits for. Always an answer; `family` is kUnknown and
/// `confidence` kNone when the bytes fit nothing. A word that is no longer what the kernel compared
/// is of no held lock: whoever changed it lets the thread go on, and `state` says so. An
/// unknown libc is read as glibc.
RecognisedLock recognise(const FutexWait& wait, const EvidenceMemory& memory, Abi abi, Libc libc,
                         const WaitHint& hint);

/// Whether a lock of this family has one holder who must release it (a mutex), as opposed to an
/// event that somebody will cause (a condition variable, a semaphore, a latch).
bool is_owned(LockFamily family);

}  // namespace forkscope
