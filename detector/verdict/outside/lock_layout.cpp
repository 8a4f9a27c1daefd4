#include "detector/verdict/outside/lock_layout.hpp"

#include <algorithm>
#include <cstring>

#include "detector/verdict/outside/layout_fit.hpp"
#include "detector/verdict/outside/layout_hint.hpp"

namespace forkscope {
namespace layout {

std::string counted(std::uint64_t number, const char* noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

namespace {

bool is_rich(const Candidate& candidate) { return candidate.points >= kRich; }

/// All readings of the bytes, best first.
std::vector<Candidate> readings(const FutexWait& wait, const EvidenceMemory& memory, Abi abi,
                                Libc libc) {
  std::vector<Candidate> found;
  const Scene scene{wait, memory, abi, found};
  if (libc != Libc::kMusl) {
    read_glibc_mutex(scene);
    read_glibc_rwlock(scene);
    read_glibc_condition(scene);
    read_glibc_semaphore(scene);
    read_glibc_barrier(scene);
    read_glibc_join(scene);
    read_glibc_once(scene);
    read_glibc_internal(scene);
  }
  // A program that is linked statically does not say which it has.
  if (libc != Libc::kGlibc) read_musl(scene);
  read_static_guard(scene);
  read_libgomp(scene);
  read_rust(scene);
  read_parking_lot(scene);
  read_abseil(scene);
  read_python(scene);
  read_atomic_wait(scene);
  std::stable_sort(found.begin(), found.end(),
                   [](const Candidate& a, const Candidate& b) { return a.points > b.points; });
  return found;
}

/// Readings of a word that has changed.
std::vector<Candidate> moved_on(const FutexWait& wait, const EvidenceMemory& memory, Abi abi,
                                Libc libc) {
  std::vector<Candidate> found;
  if (libc != Libc::kGlibc) read_musl_requeued({wait, memory, abi, found});
  return found;
}

/// What libc builds itself never goes through libc's syscall().
bool is_libcs_own(LockFamily family) {
  using enum LockFamily;
  return Families{kMutex,   kRwlock, kCondition, kSemaphore, kOnce,
                  kBarrier, kJoin,   kLibcLock,  kPyMutex}
      .has(family);
}

/// Only a function's word: the bytes do not say what it is, or could not be read.
RecognisedLock by_name(const FutexWait& wait, const Reason& why, Confidence confidence,
                       const char* state) {
  RecognisedLock lock;
  lock.address = wait.address;
  lock.state = state;
  if (why.from == Reason::From::kNothing) return lock;
  lock.family = why.first;
  lock.type = why.type;
  lock.confidence = confidence;
  return lock;
}

RecognisedLock with_function(const FutexWait& wait, const Reason& why,
                             const std::vector<Candidate>& found) {
  for (const Candidate& candidate : found) {
    if (!why.families.has(candidate.lock.family)) continue;
    RecognisedLock lock = candidate.lock;
    const bool function = why.from == Reason::From::kFunction;
    lock.confidence = function ? Confidence::kCertain : Confidence::kLikely;
    // A function's name for it may say more than the bytes: a critical section, a latch. Of a mutex
    // the bytes say more: which kind it is.
    if (function && lock.family == why.first && candidate.points < kRich &&
        lock.family != LockFamily::kLibcLock && lock.family != LockFamily::kMutex)
      lock.type = why.type;
    return lock;
  }
  return by_name(wait, why, Confidence::kPossible, "its bytes do not look like one");
}

RecognisedLock by_bytes(const FutexWait& wait, const Reason& why,
                        const std::vector<Candidate>& found) {
  auto allowed = [&](const Candidate& candidate) {
    if (candidate.points == kAnything) return false;
    return !(why.through_syscall && is_libcs_own(candidate.lock.family));
  };
  auto best = std::find_if(found.begin(), found.end(), allowed);
  if (best == found.end()) return by_name(wait, why, Confidence::kNone, "");
  RecognisedLock lock = best->lock;
  const auto rival = std::find_if(best + 1, found.end(), [&](const Candidate& candidate) {
    return allowed(candidate) && candidate.lock.family != lock.family;
  });
  const bool leads = rival == found.end() || best->points >= rival->points + kLead;
  lock.confidence = is_rich(*best) && leads ? Confidence::kLikely : Confidence::kPossible;
  return lock;
}

}  // namespace
}  // namespace layout

bool EvidenceMemory::read(std::uint64_t address, std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto holds = [&](const MemoryBytes& slice) {
      return address >= slice.address && address - slice.address < slice.bytes.size();
    };
    const auto slice = std::find_if(slices_.begin(), slices_.end(), holds);
    if (slice == slices_.end()) return false;
    const std::uint64_t from = address - slice->address;
    const std::size_t size = std::min<std::uint64_t>(out.size(), slice->bytes.size() - from);
    std::memcpy(out.data(), slice->bytes.data() + from, size);
    out = out.subspan(size);
    if (!out.empty() && address > UINT64_MAX - size) return false;
    address += size;
  }
  return true;
}

RecognisedLock recognise(const FutexWait& wait, const EvidenceMemory& memory, Abi abi, Libc libc,
                         const WaitHint& hint) {
  using namespace layout;
  const Reason why = reason(hint);
  if (abi == Abi::k32Bit)
    return by_name(wait, why, Confidence::kPossible, "32-bit locks are not known");
  const auto word = memory.get<std::uint32_t>(wait.address);
  if (!word) return by_name(wait, why, Confidence::kLikely, "its memory could not be read");
  // The kernel compared before the thread slept. If the word has changed since, somebody has let go
  // and the thread is about to be woken.
  const bool changed = !wait.pi && *word != wait.expected;
  const std::vector<Candidate> found =
      changed ? moved_on(wait, memory, abi, libc) : readings(wait, memory, abi, libc);
  if (changed && found.empty())
    return by_name(wait, why, Confidence::kLikely, "it has changed since: about to go on");
  RecognisedLock lock = why.from == Reason::From::kNothing ? by_bytes(wait, why, found)
                                                           : with_function(wait, why, found);
  // What lies in the data of libc or the loader is theirs, whatever it is made of.
  if (is_libc_module(hint.address_module) && is_owned(lock.family)) {
    lock.family = LockFamily::kLibcLock;
    lock.confidence = std::max(lock.confidence, Confidence::kLikely);
  }
  if (lock.confidence < Confidence::kLikely) lock.owner = 0;
  return lock;
}

bool is_owned(LockFamily family) {
  switch (family) {
    case LockFamily::kMutex:
    case LockFamily::kRwlock:
    case LockFamily::kOnce:
    case LockFamily::kLibcLock:
    case LockFamily::kStaticGuard:
    case LockFamily::kRustMutex:
    case LockFamily::kRustRwlock:
    case LockFamily::kRustOnce:
    case LockFamily::kGompLock:
    case LockFamily::kPyMutex:
      return true;
    case LockFamily::kUnknown:
    case LockFamily::kCondition:
    case LockFamily::kSemaphore:
    case LockFamily::kBarrier:
    case LockFamily::kJoin:
    case LockFamily::kRustCondvar:
    case LockFamily::kRustParker:
    case LockFamily::kParkingLot:
    case LockFamily::kAbseil:
    case LockFamily::kGompBarrier:
    case LockFamily::kAtomicWait:
      return false;
  }
  return false;
}

}  // namespace forkscope
