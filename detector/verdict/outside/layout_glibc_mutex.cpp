// pthread_mutex_t of glibc: struct __pthread_mutex_s (sysdeps/nptl/bits/struct_mutex.h, and x86's
// own). All that is read here lies at the same offsets on every 64-bit architecture. mtx_t,
// std::mutex and the loader's recursive locks are the same structure.
#include "detector/verdict/outside/layout_fit.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::layout {
namespace {

constexpr std::int64_t kCount = 4, kOwner = 8, kUsers = 12, kKind = 16, kList = 24;

// Bits of __kind (pthreadP.h).
constexpr std::uint32_t kTypeMask = 3, kRobust = 16, kInherit = 32, kProtect = 64, kShared = 128,
                        kElision = 256, kNoElision = 512;
constexpr std::uint32_t kKnownBits =
    kTypeMask | kRobust | kInherit | kProtect | kShared | kElision | kNoElision;
constexpr std::uint32_t kRecursive = 1, kErrorcheck = 2;

// The lock word of robust and priority-inheriting mutexes (futex(2)).
constexpr std::uint32_t kWaiters = 0x80000000, kOwnerDied = 0x40000000, kTidMask = 0x3fffffff;
// Priority-protected ones keep the ceiling above the state.
constexpr std::uint32_t kCeilingMask = 0xfff80000;
// The owner word of a robust mutex whose owner died.
constexpr std::uint32_t kInconsistent = 0x7fffffff, kNotRecoverable = 0x7ffffffe;

bool valid(std::uint32_t kind) {
  if ((kind & ~kKnownBits) != 0) return false;
  if ((kind & kProtect) != 0 && (kind & (kRobust | kInherit)) != 0) return false;
  // pthread_mutexattr_settype(NORMAL) and -init forbid elision, whatever else the mutex is.
  if ((kind & kNoElision) != 0 && (kind & kTypeMask) != 0) return false;
  return (kind & kElision) == 0 || (kind & (kTypeMask | kRobust | kInherit | kProtect)) == 0;
}

/// In the words of the library's records (MutexWords), so that both speak of one lock alike.
std::string name_of(std::uint32_t kind) {
  using record::LockType;
  constexpr LockType kTypes[] = {LockType::kMutexNormal, LockType::kMutexRecursive,
                                 LockType::kMutexErrorcheck, LockType::kMutexAdaptive};
  const bool robust = (kind & kRobust) != 0;
  unsigned flags = robust ? record::kLockRobust : 0;
  if ((kind & kInherit) != 0) flags |= record::kLockPi;
  if ((kind & kProtect) != 0) flags |= record::kLockPp;
  // Set in every robust one (pthread_mutex_init.c), so it says nothing there.
  if ((kind & kShared) != 0 && !robust) flags |= record::kLockPshared;
  return lock_type_words(kTypes[kind & kTypeMask], std::uint8_t(flags));
}

struct Words {
  std::uint32_t lock, count, owner, users, kind;
};

std::optional<Words> words(const Scene& scene) {
  auto lock = scene.word(0), count = scene.word(kCount), owner = scene.word(kOwner),
       users = scene.word(kUsers), kind = scene.word(kKind);
  if (!lock || !count || !owner || !users || !kind) return std::nullopt;
  return Words{*lock, *count, *owner, *users, *kind};
}

RecognisedLock mutex(const Scene& scene, std::uint32_t kind) {
  RecognisedLock lock = scene.lock(LockFamily::kMutex, name_of(kind));
  lock.robust = (kind & kRobust) != 0;
  const std::uint32_t type = kind & kTypeMask;
  lock.compares_owner =
      type == kRecursive || type == kErrorcheck || (kind & (kRobust | kInherit)) != 0;
  lock.process_shared = (kind & (kShared | kRobust)) == kShared;
  return lock;
}

/// Points for what all kinds have in common, negative when it cannot be.
int common_points(const Scene& scene, const Words& words) {
  constexpr int kNot = -1000;
  int points = words.kind == 0 ? kZero : kSmallNumber;
  // How often it is locked; robust and priority-inheriting ones say 1 whatever their type is.
  const bool recursive = (words.kind & kTypeMask) == kRecursive;
  const bool counts = recursive || (words.kind & (kRobust | kInherit)) != 0;
  if (words.count > (recursive ? kMostThreads : counts ? 1u : 0u)) return kNot;
  points += words.count != 0 ? kSmallNumber : kZero;
  if (words.users > kMostThreads) return kNot;
  if (words.users != 0) points += kSmallNumber;
  // Only robust and priority-inheriting ones are in a list.
  if ((words.kind & (kRobust | kInherit)) == 0) {
    auto previous = scene.two_words(kList), next = scene.two_words(kList + 8);
    if (!previous || !next) return points;
    if (*previous != 0 || *next != 0) return kNot;
    points += 2 * kZero;
  }
  return points;
}

/// Kinds whose word is 0, 1 or 2: somebody waits for it.
void read_three_states(const Scene& scene, const Words& words) {
  std::uint32_t ceiling = (words.kind & kProtect) != 0 ? words.lock & kCeilingMask : 0;
  if ((words.lock & ~ceiling) != 2 || scene.bitset_untimed()) return;
  if (((words.kind & kShared) == 0) != scene.wait.is_private) return;
  int points = common_points(scene, words);
  if (points < 0) return;
  points += kCommon;
  RecognisedLock lock = mutex(scene, words.kind);
  lock.held = true;
  if (is_tid(words.owner)) {
    lock.owner = std::int32_t(words.owner);
    points += kThread;
  } else if (words.owner != 0) {
    return;
  } else {
    // Taken this instant; or, likelier, it is no mutex.
    lock.state = "no owner is recorded";
    points = kZero;
  }
  scene.add(std::move(lock), points);
}

/// Robust and priority-inheriting ones: the word is the owner's TID and two flags.
void read_tid_word(const Scene& scene, const Words& words) {
  const bool inherit = (words.kind & kInherit) != 0;
  if (scene.wait.pi != inherit || scene.bitset_untimed()) return;
  // The kernel wakes waiters of robust mutexes with the shared operation, so all of those use it.
  if (inherit && ((words.kind & kShared) == 0) != scene.wait.is_private &&
      (words.kind & kRobust) == 0)
    return;
  if (!inherit && scene.wait.is_private) return;
  int points = common_points(scene, words);
  if (points < 0) return;
  RecognisedLock lock = mutex(scene, words.kind);
  const std::uint32_t tid = words.lock & kTidMask;
  if ((words.lock & kWaiters) != 0) points += kMark;
  if ((words.lock & kOwnerDied) != 0) {
    lock.state = "its owner died with it";
    points += kMark;
  }
  if (tid != 0) {
    if (!is_tid(tid)) return;
    const bool special = words.owner == kInconsistent || words.owner == kNotRecoverable;
    // The owner word follows the lock word an instant later.
    if (words.owner != 0 && words.owner != tid && !special) return;
    lock.held = true;
    lock.owner = std::int32_t(tid);
    points += words.owner == tid ? 2 * kThread : kCommon;
  }
  scene.add(std::move(lock), points);
}

}  // namespace

void read_glibc_mutex(const Scene& scene) {
  auto found = words(scene);
  if (!found || !valid(found->kind) || !scene.aligned(0, 8)) return;
  if ((found->kind & (kRobust | kInherit)) != 0)
    read_tid_word(scene, *found);
  else if (!scene.wait.pi)
    read_three_states(scene, *found);
}

}  // namespace forkscope::layout
