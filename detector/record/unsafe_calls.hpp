// What detector/record/unsafe_calls.def says, as constants, and the record that counts its calls.
// Used by both sides: plain data and lock-free atomics, async-signal-safe and fork-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace forkscope::record {

/// What the lock belongs to; of every family but kDatabases it is one lock.
enum class LibcFamily : std::uint8_t {
#define FORKSCOPE_LIBC_FAMILY(id, words, lock, at_fork, since, cure) id,
#include "detector/record/unsafe_calls.def"
};
enum class AtFork : std::uint8_t { kReset, kNotReset };
enum class LibcUse : std::uint8_t { noted, takes, exclusive, shared, own, hooked };
enum class Hung : std::uint8_t { hangs, dies, never, untried };

/// The functions have their own names here.
enum class UnsafeCall : std::uint8_t {
  none,  // so that zeroed memory says nothing
#define FORKSCOPE_UNSAFE_CALL(name, family, use, hung) name,
#include "detector/record/unsafe_calls.def"
};

struct LibcFamilyFacts {
  const char* words;
  const char* lock;
  AtFork at_fork;
  const char* since;
  const char* cure;
};
struct UnsafeCallFacts {
  const char* name;
  LibcFamily family;
  LibcUse use;
  Hung hung;
};

inline constexpr LibcFamilyFacts kLibcFamilies[] = {
#define FORKSCOPE_LIBC_FAMILY(id, words, lock, at_fork, since, cure) \
  {words, lock, AtFork::at_fork, since, cure},
#include "detector/record/unsafe_calls.def"
};
inline constexpr UnsafeCallFacts kUnsafeCalls[] = {
    {"", LibcFamily::kMemory, LibcUse::noted, Hung::untried},
#define FORKSCOPE_UNSAFE_CALL(name, family, use, hung) \
  {#name, LibcFamily::family, LibcUse::use, Hung::hung},
#include "detector/record/unsafe_calls.def"
};
inline constexpr std::size_t kLibcFamilyCount = sizeof kLibcFamilies / sizeof kLibcFamilies[0];
inline constexpr std::size_t kUnsafeCallCount =
    sizeof kUnsafeCalls / sizeof kUnsafeCalls[0];  ///< with none
static_assert(kUnsafeCallCount <= 256, "UnsafeCall is one byte");

constexpr const UnsafeCallFacts& facts_of(UnsafeCall call) {
  return kUnsafeCalls[std::size_t(call)];
}
constexpr const LibcFamilyFacts& facts_of(LibcFamily family) {
  return kLibcFamilies[std::size_t(family)];
}

/// Whether enter and leave of the function are tracked: a lock that fork leaves as it is.
constexpr bool is_tracked(UnsafeCall call) {
  LibcUse use = facts_of(call).use;
  return use == LibcUse::exclusive || use == LibcUse::shared || use == LibcUse::own;
}

/// Number of the lock that a call takes: those of functions with one of their own come after the
/// families'.
inline constexpr std::size_t kLibcLockCount = kLibcFamilyCount + kUnsafeCallCount;
constexpr std::size_t libc_lock_of(UnsafeCall call) {
  const UnsafeCallFacts& facts = facts_of(call);
  return facts.use == LibcUse::own ? kLibcFamilyCount + std::size_t(call)
                                   : std::size_t(facts.family);
}

/// Whether `call` of a child can wait for the lock that a thread inside `other` had.
constexpr bool meet_in_libc(UnsafeCall call, UnsafeCall other) {
  LibcUse use = facts_of(call).use;
  bool takes = is_tracked(call) || use == LibcUse::takes;
  return takes && is_tracked(other) && libc_lock_of(call) == libc_lock_of(other) &&
         !(use == LibcUse::shared && facts_of(other).use == LibcUse::shared);
}

/// Type::kUnsafeSites: the session's call sites of such calls, so that many children of one program
/// are one record and a count. An entry is taken by storing its key.
struct UnsafeSite {
  std::atomic<std::uint64_t> key;      ///< of function, module and offset; 0: free
  std::atomic<std::uint64_t> finding;  ///< Finding::id, 0 until it is written
  std::atomic<std::uint64_t> children;
};
inline constexpr std::size_t kMaxUnsafeSites = 1024;
struct UnsafeSites {
  UnsafeSite sites[kMaxUnsafeSites];
};

}  // namespace forkscope::record
