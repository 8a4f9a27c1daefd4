#include "tests/tracker/storm_locks.hpp"

#include <algorithm>

#include "detector/tracker/lock_words.hpp"

namespace forkscope::test {

namespace {

using record::LockType;

/// A thread's table keeps the last four semaphores that it waited for (preload/sem.cpp).
constexpr int kSemaphoresAtOnce = 4;

constexpr LockType kTypes[] = {LockType::kRwlock, LockType::kRwlock, LockType::kSpinlock,
                               LockType::kSemaphore};

}  // namespace

StormLocks::StormLocks() {
  for (auto& lock : rwlocks_) pthread_rwlock_init(&lock, nullptr);
  for (auto& lock : spins_) pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
  for (auto& lock : semaphores_) sem_init(&lock, 0, 1);
}

StormLocks::~StormLocks() {
  for (auto& lock : rwlocks_) pthread_rwlock_destroy(&lock);
  for (auto& lock : spins_) pthread_spin_destroy(&lock);
  for (auto& lock : semaphores_) sem_destroy(&lock);
}

const void* StormLocks::address(Kind kind, int index) const {
  switch (kind) {
    case Kind::kReading:
    case Kind::kWriting:
      return &rwlocks_[index];
    case Kind::kSpin:
      return const_cast<const int*>(&spins_[index]);
    default:
      return &semaphores_[index];
  }
}

bool StormLocks::take(Kind kind, int index, bool wait) {
  switch (kind) {
    case Kind::kReading:
      return (wait ? pthread_rwlock_rdlock(&rwlocks_[index])
                   : pthread_rwlock_tryrdlock(&rwlocks_[index])) == 0;
    case Kind::kWriting:
      return (wait ? pthread_rwlock_wrlock(&rwlocks_[index])
                   : pthread_rwlock_trywrlock(&rwlocks_[index])) == 0;
    case Kind::kSpin:
      return (wait ? pthread_spin_lock(&spins_[index]) : pthread_spin_trylock(&spins_[index])) == 0;
    default:
      return (wait ? sem_wait(&semaphores_[index]) : sem_trywait(&semaphores_[index])) == 0;
  }
}

void StormLocks::give(Kind kind, int index) {
  switch (kind) {
    case Kind::kReading:
    case Kind::kWriting:
      pthread_rwlock_unlock(&rwlocks_[index]);
      break;
    case Kind::kSpin:
      pthread_spin_unlock(&spins_[index]);
      break;
    default:
      sem_post(&semaphores_[index]);
  }
}

std::vector<StormLocks::Taken> StormLocks::take_some(int thread, unsigned most, bool hasty,
                                                     std::minstd_rand& random) {
  Written& written = written_[thread];
  std::vector<Taken> taken;
  int at = -1, semaphores = 0;
  for (unsigned i = random() % (most + 1); i > 0; --i) {
    at += 1 + int(random() % 12);
    if (at >= 3 * kOfAKind) break;
    Kind kind = at < kOfAKind       ? (random() % 3 == 0 ? Kind::kWriting : Kind::kReading)
                : at < 2 * kOfAKind ? Kind::kSpin
                                    : Kind::kSemaphore;
    int index = at % kOfAKind;
    if (kind == Kind::kSemaphore && ++semaphores > kSemaphoresAtOnce) break;
    // Who spins for a thread that does not run spins for long on few processors.
    bool wait = !hasty && random() % (kind == Kind::kSpin ? 8 : 2) == 0;
    for (int times = kind == Kind::kReading && random() % 4 == 0 ? 2 : 1; times > 0; --times) {
      written.busy = address(kind, index);
      bool got = take(kind, index, wait && times == 1);
      if (got) {
        written.has[int(kind)][index].fetch_add(1);
        taken.push_back({kind, index});
      }
      written.busy = nullptr;
    }
  }
  return taken;
}

void StormLocks::give_back(int thread, std::vector<Taken>& taken, std::minstd_rand& random) {
  Written& written = written_[thread];
  if (random() % 3 == 0) std::shuffle(taken.begin(), taken.end(), random);
  for (; !taken.empty(); taken.pop_back()) {
    auto [kind, index] = taken.back();
    written.busy = address(kind, index);
    written.has[int(kind)][index].fetch_sub(1);
    give(kind, index);
    written.busy = nullptr;
  }
}

void StormLocks::compare(const ForkHeld& answer, const std::int32_t (&tids)[kThreads],
                         Totals& totals) const {
  for (int k = 0; k < int(Kind::kCount); ++k) {
    Kind kind = Kind(k);
    for (int index = 0; index < kOfAKind; ++index) {
      const void* lock = address(kind, index);
      const bool taken = lock_words::taken(lock, kTypes[k]);
      unsigned holders = 0, transits = 0, others = 0;
      for (int thread = 0; thread < kThreads; ++thread) {
        const Written& written = written_[thread];
        bool busy = written.busy.load() == lock;
        bool has = written.has[k][index].load() > 0;
        bool listed = false;
        for (std::uint32_t i = 0; i < answer.count; ++i) {
          const record::HeldLock& one = answer.locks[i];
          bool reads = (one.flags & record::kLockReader) != 0;
          listed = listed || (one.address == reinterpret_cast<std::uint64_t>(lock) &&
                              one.owner == tids[thread] && one.type == kTypes[k] &&
                              reads == (kind == Kind::kReading));
        }
        // What it has for certain is in the list. A lock it was at may be: it need not have it.
        totals.missing += has && !busy && !listed;
        totals.extra += listed && !has && !busy;
        totals.extra += listed && !taken;
        holders += listed;
        transits += busy;
        totals.held += listed;
        if (kind == Kind::kReading) others += written.has[int(Kind::kWriting)][index].load() > 0;
        if (kind == Kind::kWriting) others += written.has[int(Kind::kReading)][index].load() > 0;
      }
      totals.in_transit += transits;
      if (kind == Kind::kReading) {
        totals.readers += holders;
        unsigned count =
            lock_words::load<unsigned>(&rwlocks_[index].__data.__readers) >> 3;  // of readers
        totals.too_many += holders > count;
      } else {
        totals.too_many += holders > 1;
        // Taken, hence somebody's: in the list, or at it.
        totals.missing += taken && holders == 0 && transits == 0 && others == 0;
      }
    }
  }
}

}  // namespace forkscope::test
