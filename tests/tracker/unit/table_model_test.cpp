// The table of a thread's locks against a model: thousands of random calls, after each of which the
// table must say exactly what the model says. The locks' words are written by the test, as the real
// calls between the tracker's would do it.
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "detector/tracker/lock_words.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;
using record::LockType;

namespace {

constexpr std::uint64_t kFirstCaller = 0x5555'0000'1000;

class Table {
 public:
  explicit Table(unsigned seed) : random(seed), thread(std::make_unique<ThreadRecord>()) {
    thread->top = thread->slots;
    thread->tid = libc_tid();
    mutexes.resize(100);
    spins.assign(60, 1);
    streams.resize(20);
  }

  // -- locks with an owner word, as preload/mutex_call.hpp uses the table

  void lock(std::size_t i, bool got) {
    pthread_mutex_t& mutex = mutexes[i].mutex;
    std::uint64_t caller = next_caller();
    std::uint32_t before = thread->dropped;
    if (!table::push(*thread, &mutex, as_pointer(caller), stack.at()))
      table::push_deep(*thread, &mutex, as_pointer(caller));
    if (!got) return forget(mutex);
    mutex.__data.__owner = thread->tid;
    mutexes[i].dropped = thread->dropped > before;
  }
  void unlock(std::size_t i) {
    pthread_mutex_t& mutex = mutexes[i].mutex;
    bool popped = table::pop(*thread, &mutex);
    mutex.__data.__owner = 0;
    if (!popped) forget(mutex);
  }
  /// By another thread: nobody tells this table.
  void unlock_elsewhere(std::size_t i) { mutexes[i].mutex.__data.__owner = 0; }
  bool owned(std::size_t i) const { return mutexes[i].mutex.__data.__owner != 0; }

  // -- and without, as preload/lock_call.hpp does

  void take_spin(std::size_t i, bool got) {
    want(&spins[i], LockType::kSpinlock, 0);
    if (got) spins[i] = 0;
    table::settle(*thread, &spins[i], got);
    if (got) held[&spins[i]] = {wanted_is_recorded ? 1u : 0u, last_caller};
  }
  void release_spin(std::size_t i) {
    give_up(&spins[i]);
    spins[i] = 1;
    held.erase(&spins[i]);
  }
  void read(std::size_t i) {
    pthread_rwlock_t& lock = streams[i];
    want(&lock, LockType::kRwlock, record::kLockReader);
    lock.__data.__readers += 8;
    table::settle(*thread, &lock, true);
    held[&lock].count += wanted_is_recorded;
    held[&lock].caller = last_caller;
  }
  void stop_reading(std::size_t i) {
    pthread_rwlock_t& lock = streams[i];
    give_up(&lock);
    lock.__data.__readers -= 8;
    if (held[&lock].count > 0) --held[&lock].count;
  }

  void step() {
    switch (random() % 16) {
      case 0:
      case 1:
      case 2: {
        std::size_t i = pick(mutexes.size());
        return owned(i) ? unlock(i) : lock(i, true);
      }
      case 3: {
        std::size_t i = pick(mutexes.size());
        return owned(i) ? unlock(i) : lock(i, false);
      }
      case 4: {  // seldom, or stale slots are all there is
        std::size_t i = pick(mutexes.size());
        if (random() % 4 == 0) unlock_elsewhere(i);
        return;
      }
      case 5:
      case 6:
      case 7: {
        std::size_t i = pick(spins.size());
        return spins[i] == 0 ? release_spin(i) : take_spin(i, true);
      }
      case 8: {
        std::size_t i = pick(spins.size());
        return spins[i] == 0 ? release_spin(i) : take_spin(i, false);
      }
      case 9:
      case 10:
        return read(pick(streams.size()));
      case 11:
      case 12: {
        std::size_t i = pick(streams.size());
        if (streams[i].__data.__readers != 0) stop_reading(i);
        return;
      }
      case 13:
        if (random() % 8 == 0) table::forget_stale(*thread);
        return;
      case 14: {  // made anew while it is held
        std::size_t i = pick(spins.size());
        if (spins[i] != 0 || random() % 4 != 0) return;
        bool recorded = held[&spins[i]].count > 0;
        right = right && table::erase(*thread, &spins[i]) == recorded;
        spins[i] = 1;
        held.erase(&spins[i]);
        return;
      }
      default:
        return give_back_some();
    }
  }
  /// A scope ends: the newest first.
  void give_back_some() {
    for (std::size_t i = pick(12); i > 0; --i) {
      const void* newest = nullptr;
      thread->each([&](const Recorded& one) {
        bool held_now = one.hold == Hold::kHeld ? one.type == LockType::kSpinlock
                                                : one.hold == Hold::kOwnerWord && owner(one.lock);
        if (held_now) newest = one.lock;
        return newest == nullptr;
      });
      for (std::size_t at = 0; newest != nullptr && at < mutexes.size(); ++at)
        if (newest == &mutexes[at].mutex) unlock(at);
      for (std::size_t at = 0; newest != nullptr && at < spins.size(); ++at)
        if (newest == &spins[at] && spins[at] == 0) release_spin(at);
    }
  }

  /// Whether the table says what the model says, and every entry has the call site of its lock.
  bool agrees() const {
    std::map<const void*, std::size_t> seen;
    bool good = right && thread->top >= thread->slots && thread->top <= thread->slots + kSlots &&
                thread->deep <= kDeepSlots;
    thread->each([&](const Recorded& one) {
      good = good && one.hold != Hold::kWanted;  // every call is over
      if (one.hold == Hold::kReleasing || (one.hold == Hold::kOwnerWord && !owner(one.lock)))
        return true;
      ++seen[one.lock];
      auto expected = held.find(one.lock);
      if (one.type == LockType::kSpinlock)
        good = good && expected != held.end() && one.caller == expected->second.caller;
      // The slice lies beside its own call site, wherever entries were moved to.
      if (one.slot != nullptr) good = good && one.slot->slice[0] == one.caller;
      if (one.hold == Hold::kHeld)
        good = good && ((one.flags & record::kLockReader) != 0) == (one.type == LockType::kRwlock);
      return true;
    });
    for (const Mutex& mutex : mutexes)
      if (mutex.mutex.__data.__owner != 0 && !mutex.dropped)
        good = good && table::contains(*thread, &mutex.mutex);
    for (const auto& [lock, entry] : held) good = good && seen[lock] == entry.count;
    for (const auto& [lock, count] : seen)
      if (!is_mutex(lock)) good = good && held.count(lock) != 0 && held.at(lock).count == count;
    return good;
  }

  std::minstd_rand random;
  std::unique_ptr<ThreadRecord> thread;
  std::uint32_t slots_full = 0, deep_full = 0;

 private:
  struct Mutex {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    bool dropped = false;
  };
  struct Entry {
    std::size_t count = 0;
    std::uint64_t caller = 0;
  };

  std::size_t pick(std::size_t below) { return random() % below; }
  bool is_mutex(const void* lock) const {
    return lock >= mutexes.data() && lock < mutexes.data() + mutexes.size();
  }
  static bool owner(const void* lock) { return MutexWords(lock).owner() != 0; }
  static void* as_pointer(std::uint64_t caller) { return reinterpret_cast<void*>(caller); }
  std::uint64_t next_caller() {
    last_caller += 16;
    *stack.at() = last_caller;
    slots_full += thread->top == thread->slots + kSlots;
    deep_full += thread->deep == kDeepSlots;
    return last_caller;
  }
  void want(const void* lock, LockType type, std::uint8_t flags) {
    std::uint64_t caller = next_caller();
    std::uint32_t before = thread->dropped;
    table::want(*thread, lock, type, flags, as_pointer(caller), stack.at());
    wanted_is_recorded = thread->dropped == before;
    bool found = table::find(*thread, lock, Hold::kWanted) != nullptr;
    right = right && found == wanted_is_recorded;
  }
  void give_up(const void* lock) {
    bool recorded = held[lock].count > 0;
    if (table::release(*thread, lock)) {
      // Above the top, until the next acquire: the real call is still to come.
      right = right && recorded && thread->top->word == tagged(lock, Hold::kReleasing);
    } else {
      right = right && table::release_slowly(*thread, lock, random() % 2 == 0) == recorded;
    }
  }
  void forget(const pthread_mutex_t& mutex) {
    if (!table::pop(*thread, &mutex) && !table::erase(*thread, &mutex) && thread->dropped > 0)
      --thread->dropped;
  }

  test::CallStack stack;
  std::vector<Mutex> mutexes;
  std::vector<int> spins;
  std::vector<pthread_rwlock_t> streams;
  std::map<const void*, Entry> held;
  std::uint64_t last_caller = kFirstCaller;
  bool wanted_is_recorded = false, right = true;
};

}  // namespace

TEST_CASE("the table says what a model says, after every one of 100,000 random calls") {
  std::uint32_t slots_full = 0, deep_full = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    Table table(seed);
    for (int i = 0; i < 5000; ++i) {
      table.step();
      INFO("seed " << seed << ", step " << i);
      if (!table.agrees()) FAIL("the table and the model differ");
    }
    slots_full += table.slots_full;
    deep_full += table.deep_full;
  }
  CHECK(slots_full > 1000);  // else its limits were not tested
  CHECK(deep_full > 1000);
}
