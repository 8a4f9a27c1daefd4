// Descriptors that a forked child shares with its parent: the record that both mark, and the table
// of the functions that use descriptors. Written with check=descriptors only.
//
// Plain data: both sides write single words of it with atomic operations, so it is async-signal-safe
// and fork-safe to use, and a reader copies it as it is.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forkscope::record {

enum class DescriptorUse : std::uint8_t { takes, puts };
inline constexpr std::size_t kDescriptorUses = 2;

/// Numbers of the functions; they have their own names here.
enum class DescriptorCall : std::uint32_t {
  none,  // so that zeroed memory says nothing
#define FORKSCOPE_DESCRIPTOR_CALL(name, use) name,
#include "detector/record/descriptor_calls.def"
#undef FORKSCOPE_DESCRIPTOR_CALL
};

struct DescriptorCallFacts {
  const char* name;
  DescriptorUse use;
};
inline constexpr DescriptorCallFacts kDescriptorCalls[] = {
    {"", DescriptorUse::takes},
#define FORKSCOPE_DESCRIPTOR_CALL(name, use) {#name, DescriptorUse::use},
#include "detector/record/descriptor_calls.def"
#undef FORKSCOPE_DESCRIPTOR_CALL
};
inline constexpr std::size_t kDescriptorCallCount =
    sizeof kDescriptorCalls / sizeof kDescriptorCalls[0];  ///< with none

enum class DescriptorType : std::uint8_t {
  kPipe,        ///< also a named one
  kStream,      ///< a socket whose messages have no borders, not listening
  kMessages,    ///< a datagram or packet socket
  kListener,    ///< a socket that is listening
  kEpoll,
  kInotify,
  kEventfd,
  kLockedFile,  ///< with a flock(2) lock
};
inline constexpr DescriptorType kLastDescriptorType = DescriptorType::kLockedFile;

/// The first use of its kind after the fork.
struct DescriptorUsedAt {
  std::uint64_t caller;  ///< return address
  std::uint32_t call;    ///< DescriptorCall, stored last; 0: not used
  std::int32_t tid;
};

/// Whether the child still had the descriptor when it called exit or _exit.
enum DescriptorKept : std::uint32_t {
  kNotKept,    ///< closed, or nobody looked: the child died, runs, or has called exec
  kKeptBoth,   ///< and so had the parent, at that time
  kKeptAlone,  ///< the parent had closed it, or could not be asked
};

enum DescriptorTraits : std::uint8_t {
  kConnected = 1,     ///< a socket that has a peer
  kSemaphore = 2,     ///< an eventfd with EFD_SEMAPHORE, made to be read by several
  kNoSemaphore = 4,   ///< one without; neither where the kernel does not tell (before 6.5)
};

struct SharedDescriptor {
  std::int32_t descriptor;
  DescriptorType type;
  std::uint8_t readable, writable;  ///< by its access mode
  std::uint8_t traits;              ///< DescriptorTraits
  std::uint64_t device, inode;      ///< the same for all that is no file, pipe or socket
  DescriptorUsedAt child[kDescriptorUses], parent[kDescriptorUses];  ///< by DescriptorUse
  std::uint32_t kept;  ///< DescriptorKept
  std::uint32_t gone;  ///< bit 0: the child's number means something else by now; bit 1: the parent's
};

/// Type::kSharedDescriptors: written by the parent before the fork, published by the child right
/// after it. Followed by SharedDescriptor[count], by number.
struct SharedDescriptors {
  std::uint64_t fork;
  std::int32_t parent, child;
  std::uint32_t count;
  std::uint32_t total;  ///< also those that did not fit
};
inline constexpr std::uint32_t kMaxSharedDescriptors = 256;
/// Larger numbers are not looked at.
inline constexpr int kMaxSharedDescriptor = 1023;

}  // namespace forkscope::record
