#include "detector/tracker/history.hpp"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "detector/tracker/checkers.hpp"
#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::history {

constinit bool watches_heap = false;
constinit std::atomic<bool> any_on_heap{false};
constinit std::atomic<std::uint64_t> pages[kPageBits / 64] = {};

namespace {

using namespace record;

/// Where a lock lies, as far as it matters for how its end is noticed.
enum class Place : std::uint8_t {
  kModule,  ///< dlclose
  kOther,   ///< free, munmap; on a stack not at all: a frame ends without a word
};

struct Lock {
  std::atomic<std::uintptr_t> address;  ///< 0: free to be used again for a lock of its bucket
  std::uint32_t next;                   ///< of the same bucket
  std::atomic<std::uint32_t> uses;      ///< offset of the first Use
  LockType type;
  Place place;
};

// -- the store: a piece of private memory that is only ever added to, and offsets into it

constexpr std::uint32_t kStoreSize = 16u << 20, kSmallStoreSize = 1u << 20;
/// Beyond this there are no more stacks.
constexpr std::uint32_t kSitesShare = 2;  // one half
constexpr std::uint32_t kBuckets = 8192;
constexpr std::uintptr_t kGranule = 512, kPage = 4096;

struct Store {
  std::uint32_t size;
  std::atomic<std::uint32_t> used;
  std::atomic<bool> full;  ///< and said so
  std::atomic<std::uint32_t> buckets[kBuckets];
};
constinit std::atomic<Store*> store{nullptr};

std::uint64_t hash(std::uintptr_t key) { return std::uint64_t(key) * 0x9e3779b97f4a7c15u; }
std::atomic<std::uint32_t>& bucket_of(Store& in, std::uintptr_t address) {
  return in.buckets[(hash(address / kGranule) >> 40) % kBuckets];
}

template <typename T>
T* at(Store& in, std::uint32_t offset) {
  return reinterpret_cast<T*>(reinterpret_cast<char*>(&in) + offset);
}

template <typename T>
std::uint32_t offset_of(const Store& in, const T& object) {
  return std::uint32_t(reinterpret_cast<const char*>(&object) - reinterpret_cast<const char*>(&in));
}

/// Offset of zeroed memory, or 0.
std::uint32_t take(Store& from, std::uint32_t size, std::uint32_t limit) {
  size = (size + 15) & ~15u;
  std::uint32_t offset = from.used.load(std::memory_order_relaxed);
  do {
    if (size > limit || offset > limit - size) {
      if (limit == from.size && !from.full.exchange(true, std::memory_order_relaxed))
        process.count(&record::Counters::full_histories);
      return 0;
    }
  } while (!from.used.compare_exchange_weak(offset, offset + size, std::memory_order_relaxed));
  return offset;
}

/// Calls visit(Lock) for the entries of this bucket until it returns false.
template <typename Visit>
void each_in(Store& in, const std::atomic<std::uint32_t>& bucket, Visit&& visit) {
  for (std::uint32_t offset = bucket.load(std::memory_order_acquire); offset != 0;) {
    Lock* lock = at<Lock>(in, offset);
    if (!visit(*lock)) return;
    offset = lock->next;
  }
}
template <typename Visit>
void each_use(Store& in, const Lock& lock, Visit&& visit) {
  for (std::uint32_t offset = lock.uses.load(std::memory_order_acquire); offset != 0;) {
    Use* use = at<Use>(in, offset);
    if (!visit(*use)) return;
    offset = use->next;
  }
}

// -- who

std::uint64_t owner_word(const ThreadRecord& thread) {
  return std::uint64_t(thread.index) << 32 | thread.life_number.load(std::memory_order_relaxed);
}
/// The thread's record, if it is still the same thread's; null when that one has ended.
ThreadRecord* owner(std::uint64_t word) {
  if (word == 0) return nullptr;
  ThreadRecord* thread = registry.at(std::uint32_t(word >> 32));
  if (thread == nullptr || thread->life_number.load(std::memory_order_relaxed) != std::uint32_t(word))
    return nullptr;
  return thread->life.load(std::memory_order_relaxed) == Life::kAlive ? thread : nullptr;
}

// -- where

bool on_stack(const ThreadRecord& of, std::uintptr_t address) {
  // Twice the window: it is half of the stack, and all of it that the main thread is likely to use.
  constexpr std::uintptr_t kSlice = sizeof(Slot::slice);
  if (of.stack_high == 0) return false;
  const std::uintptr_t span = 2 * (of.stack_span + kSlice);
  const std::uintptr_t below = of.tid == process.pid ? std::max(span, std::uintptr_t{8u << 20}) : span;
  return address - (of.stack_high - below) < below + kPage;
}

/// The stacks of all threads, lost ones included: asked in a child only, about few locks.
bool on_any_stack(std::uintptr_t address) {
  bool stack = false;
  registry.each([&](const ThreadRecord& one) { return !(stack = on_stack(one, address)); });
  return stack;
}

bool in_module(std::uint64_t address) {
  dl_find_object object{};
  return _dl_find_object(reinterpret_cast<void*>(address), &object) == 0;
}

Place place_of(const void* lock) {
  return in_module(reinterpret_cast<std::uint64_t>(lock)) ? Place::kModule : Place::kOther;
}

/// The stack of the acquire: its innermost words, and with `whole`, at the acquire itself, its
/// callers. (At the release they may be others: who took the lock may have returned.)
std::uint32_t keep_site(Store& in, const ThreadRecord& thread, const Slot& slot, bool whole,
                        std::uint32_t used_again) {
  const std::uint32_t offset =
      used_again != 0 ? used_again : take(in, sizeof(Site), in.size / kSitesShare);
  if (offset == 0) return 0;
  Site& site = *at<Site>(in, offset);
  const std::uint64_t sp = slot.sp();
  site.registers = slot.registers;
  site.registers.sp = sp;
  const auto slice = std::uint32_t(std::min<std::uint64_t>(slot.slice_size(), kStackBytes));
  std::memcpy(site.stack, slot.slice, slice);
  site.size = slice;
  if (!whole) return offset;
  const std::uint64_t end = readable_stack_end(thread, sp);
  site.size = std::max(slice, std::uint32_t(std::min<std::uint64_t>(end - sp, kStackBytes)) & ~7u);
  std::memcpy(site.stack + slice, reinterpret_cast<const char*>(sp) + slice, site.size - slice);
  return offset;
}

Lock* find_or_add_lock(Store& in, const void* lock, LockType type) {
  auto address = reinterpret_cast<std::uintptr_t>(lock);
  auto& bucket = bucket_of(in, address);
  Lock* found = nullptr;
  each_in(in, bucket, [&](Lock& one) {
    found = one.address.load(std::memory_order_relaxed) == address ? &one : nullptr;
    return found == nullptr;
  });
  if (found != nullptr) return found;
  const std::uint32_t bit = page_bit(lock);
  pages[bit / 64].fetch_or(std::uint64_t{1} << bit % 64, std::memory_order_relaxed);
  const Place place = place_of(lock);
  if (place == Place::kOther) any_on_heap.store(true, std::memory_order_relaxed);
  each_in(in, bucket, [&](Lock& one) {
    std::uintptr_t none = 0;
    if (!one.address.compare_exchange_strong(none, 1)) return true;
    found = &one;
    return false;
  });
  if (found != nullptr) {
    found->type = type;
    found->place = place;
    found->address.store(address, std::memory_order_release);
    return found;
  }
  const std::uint32_t offset = take(in, sizeof(Lock), in.size);
  if (offset == 0) return nullptr;
  found = at<Lock>(in, offset);
  found->type = type;
  found->place = place;
  found->address.store(address, std::memory_order_relaxed);
  found->next = bucket.load(std::memory_order_relaxed);
  while (!bucket.compare_exchange_weak(found->next, offset, std::memory_order_release)) {
  }
  return found;
}

/// A lock that thousands of threads take has as many uses: who does not find its own among the
/// newest begins another one.
constexpr int kMostLooks = 64, kMostLooksForFree = 8;

/// Offset of the thread's use of this lock, or 0.
std::uint32_t find_use(Store& in, const ThreadRecord& thread, std::uintptr_t address) {
  const std::uint64_t own = owner_word(thread);
  std::uint32_t found = 0;
  int looks = 0;
  each_in(in, bucket_of(in, address), [&](Lock& one) {
    if (one.address.load(std::memory_order_relaxed) != address) return true;
    each_use(in, one, [&](Use& use) {
      if (use.owner.load(std::memory_order_relaxed) == own) found = offset_of(in, use);
      return found == 0 && ++looks < kMostLooks;
    });
    return found == 0;
  });
  return found;
}

/// The same, by way of the thread's own record where it has it. That may be out of date: the lock was
/// dropped by another thread, and its place in the store is another lock's.
Use* seen_use(Store& in, const ThreadRecord& thread, std::uintptr_t word) {
  const std::uintptr_t address = word & ~std::uintptr_t{1};
  const std::uint32_t index = seen_index(reinterpret_cast<const void*>(address));
  std::uint32_t offset = 0;
  for (const std::uint32_t place : {index, index ^ 1})
    if (thread.seen[place].word.load(std::memory_order_relaxed) == word)
      offset = thread.seen_uses[place];
  const auto is_its = [&](const Use& use) {
    return use.owner.load(std::memory_order_relaxed) == owner_word(thread) &&
           at<Lock>(in, use.lock)->address.load(std::memory_order_relaxed) == address;
  };
  if (offset == 0 || !is_its(*at<Use>(in, offset))) offset = find_use(in, thread, address);
  return offset != 0 ? at<Use>(in, offset) : nullptr;
}

/// A Use of this thread's, one whose thread has ended if there is such a one.
Use* claim_use(Store& in, const ThreadRecord& thread, Lock& lock) {
  const std::uint64_t own = owner_word(thread);
  Use* claimed = nullptr;
  int looks = 0;
  each_use(in, lock, [&](Use& use) {
    if (++looks > kMostLooksForFree) return false;
    std::uint64_t other = use.owner.load(std::memory_order_relaxed);
    // Those of lost threads are evidence.
    const ThreadRecord* record = other != 0 ? registry.at(std::uint32_t(other >> 32)) : nullptr;
    if (owner(other) != nullptr || (record != nullptr && is_lost(*record))) return true;
    if (!use.owner.compare_exchange_strong(other, own)) return true;
    claimed = &use;
    return false;
  });
  if (claimed != nullptr) {
    claimed->ready.store(false, std::memory_order_release);
    claimed->count = claimed->samples = claimed->held = 0;
    return claimed;
  }
  const std::uint32_t offset = take(in, sizeof(Use), in.size);
  if (offset == 0) return nullptr;
  claimed = at<Use>(in, offset);
  claimed->lock = offset_of(in, lock);
  claimed->owner.store(own, std::memory_order_relaxed);
  claimed->next = lock.uses.load(std::memory_order_relaxed);
  while (!lock.uses.compare_exchange_weak(claimed->next, offset, std::memory_order_release)) {
  }
  return claimed;
}

Use* find_or_add(Store& in, ThreadRecord& thread, const Release& release, bool at_acquire) {
  const auto word = seen_word(release.lock, release.flags);
  if (Use* known = seen_use(in, thread, word)) return known;
  Lock* entry = find_or_add_lock(in, release.lock, release.type);
  if (entry == nullptr) return nullptr;
  Use* use = claim_use(in, thread, *entry);
  if (use == nullptr) return nullptr;
  use->caller = release.caller;
  use->wrote = use->tried = false;
  use->exact = at_acquire && release.slot != nullptr;
  use->first = ticks();
  use->site = release.slot != nullptr
                  ? keep_site(in, thread, *release.slot, at_acquire, use->site)
                  : 0;
  use->ready.store(true, std::memory_order_release);
  return use;
}

void keep_exact_site(Store& in, const ThreadRecord& thread, const Slot& slot, Use& use) {
  use.ready.store(false, std::memory_order_release);
  keep_site(in, thread, slot, true, use.site);
  use.caller = slot.registers.pc;
  use.exact = true;
  use.ready.store(true, std::memory_order_release);
}

/// Small numbers are timed often, large ones now and then.
std::uint32_t due_after(std::uint64_t count) {
  constexpr std::uint64_t kSeldom = 8192, kShare = 8;
  return std::uint32_t(std::clamp<std::uint64_t>(count / kShare, 1, kSeldom));
}

/// Two locks that share a place share two: the one that came last is where the lock path looks.
void bring_forward(ThreadRecord& thread, std::uint32_t index, std::uintptr_t word) {
  Seen &front = thread.seen[index], &back = thread.seen[index ^ 1];
  const std::uintptr_t displaced = front.word.load(std::memory_order_relaxed);
  if (displaced == word) return;
  const std::uintptr_t behind = back.word.load(std::memory_order_relaxed);
  // If it was not at the back, either, what was there is in front now, and is evicted.
  front.word.store(behind, std::memory_order_relaxed);
  back.word.store(displaced, std::memory_order_relaxed);
  std::swap(front.left, back.left);
  std::swap(front.times, back.times);
  std::swap(thread.seen_uses[index], thread.seen_uses[index ^ 1]);
}

void clear_seen(ThreadRecord& thread) {
  for (Seen& seen : thread.seen) seen.word.store(0, std::memory_order_relaxed);
}

void drop(Use& use, std::uintptr_t address) {
  const std::uint64_t word = use.owner.exchange(0, std::memory_order_relaxed);
  ThreadRecord* thread = word != 0 ? registry.at(std::uint32_t(word >> 32)) : nullptr;
  if (thread == nullptr) return;
  const std::uint32_t index = seen_index(reinterpret_cast<const void*>(address));
  for (const std::uint32_t place : {index, index ^ 1})
    for (std::uintptr_t known : {address, address | 1})
      thread->seen[place].word.compare_exchange_strong(known, 0, std::memory_order_relaxed);
}

void drop(Store& in, Lock& lock, std::uintptr_t address) {
  each_use(in, lock, [&](Use& use) { return drop(use, address), true; });
  lock.address.store(0, std::memory_order_release);
}

/// Drops those in [begin, end) that lie in the granules of this range.
void drop_range(Store& in, std::uintptr_t begin, std::uintptr_t end) {
  for (std::uintptr_t granule = begin / kGranule * kGranule; granule < end; granule += kGranule)
    each_in(in, bucket_of(in, granule), [&](Lock& one) {
      std::uintptr_t address = one.address.load(std::memory_order_relaxed);
      if (address >= begin && address < end) drop(in, one, address);
      return true;
    });
}

template <typename Drop>
void drop_where(Store& in, Drop&& wanted) {
  for (auto& bucket : in.buckets)
    each_in(in, bucket, [&](Lock& one) {
      std::uintptr_t address = one.address.load(std::memory_order_relaxed);
      if (address > 1 && wanted(one, address)) drop(in, one, address);
      return true;
    });
}

/// Those of lost threads that would have kept a call with these flags waiting.
LostUses uses_of(Store& in, const Lock& entry, const void* lock, std::uint8_t flags,
                 std::uint64_t now) {
  LostUses found;
  Use*& longest = found.longest;
  each_use(in, entry, [&](Use& use) {
    const ThreadRecord* thread = owner(use.owner.load(std::memory_order_relaxed));
    if (thread == nullptr || !is_lost(*thread) || !use.ready.load(std::memory_order_relaxed))
      return true;
    if (uses(use, lock) == 0) return true;  // has it for the first time
    if ((flags & kLockReader) != 0 && !use.wrote) return true;  // readers share it
    auto share = [&](const Use& u) {
      const std::uint32_t known = held_share(u, lock, now);
      return known == kUnknownShare ? 0 : known;
    };
    ++found.threads;
    if (longest == nullptr || share(use) > share(*longest)) longest = &use;
    return true;
  });
  return found;
}

}  // namespace

std::uint64_t ticks() {
  return sys::has_counter.load(std::memory_order_relaxed) ? __builtin_ia32_rdtsc() : 0;
}

std::uint32_t next_life() {
  std::uint32_t life = process.lives.fetch_add(1, std::memory_order_relaxed) + 1;
  return life != 0 ? life : next_life();
}

void start() {
  if (!process.arena.attached()) return;
  // What has been counted is of a time when nobody else could fork.
  if (process.living.load(std::memory_order_relaxed) <= 1)
    registry.each([](ThreadRecord& thread) {
      if (thread.generation == process.generation) clear_seen(thread);
      return true;
    });
  if (store.load(std::memory_order_relaxed) != nullptr) return;
  rlimit limit{};
  const bool limited = sys::call(SYS_prlimit64, 0, RLIMIT_AS, 0, sys::arg(&limit)) != 0 ||
                       limit.rlim_cur != RLIM_INFINITY;
  const std::uint32_t size = limited ? kSmallStoreSize : kStoreSize;
  long memory = sys::call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory < 0 && memory > -4096) return;
  auto* fresh = reinterpret_cast<Store*>(memory);
  checkers::leave_alone(fresh, size);
  fresh->size = size;
  fresh->used.store(sizeof(Store), std::memory_order_relaxed);
  Store* none = nullptr;
  if (!store.compare_exchange_strong(none, fresh)) sys::call(SYS_munmap, memory, size);
}

void note_release(ThreadRecord& thread, const Release& release) {
  const void* lock = release.lock;
  Seen& seen = thread.seen[seen_index(lock)];
  const std::uintptr_t word = seen_word(lock, release.flags);
  bring_forward(thread, seen_index(lock), word);
  const std::uintptr_t other = seen.word.load(std::memory_order_relaxed);
  const bool known = other == word;
  if (known && seen.left != 0 && --seen.left != 0) return;  // came for another reason
  Store* in = process.living.load(std::memory_order_relaxed) > 1
                  ? store.load(std::memory_order_acquire)
                  : nullptr;
  if (!known && in != nullptr && other != 0)
    if (Use* evicted = seen_use(*in, thread, other)) evicted->count += seen.times - seen.left;
  Use* use = in != nullptr ? find_or_add(*in, thread, release, false) : nullptr;
  if (use == nullptr) {
    seen.left = seen.times = ~std::uint32_t{0};
    thread.seen_uses[seen_index(lock)] = 0;
    seen.word.store(word, std::memory_order_relaxed);
    return;
  }
  const bool counted_it = known && thread.seen_uses[seen_index(lock)] == offset_of(*in, *use);
  use->count += counted_it ? seen.times : 1;
  if ((release.flags & kLockReader) == 0) use->wrote = true;
  const bool timed = thread.timed.load(std::memory_order_relaxed) == lock;
  if (timed) {
    if (const std::uint64_t now = ticks(); now != 0) {
      use->held += now - thread.timed_since;
      ++use->samples;
    }
    thread.timed.store(nullptr, std::memory_order_relaxed);
  }
  seen.left = seen.times = due_after(use->count);
  thread.seen_uses[seen_index(lock)] = offset_of(*in, *use);
  seen.word.store(word, std::memory_order_relaxed);
  // The next acquires take the slow path, until this lock comes or too many others did.
  constexpr std::uint16_t kLooks = 16;
  if (!timed && thread.to_time == nullptr) {
    thread.to_time = lock;
    thread.looking = std::max(thread.looking, kLooks);
    take_long_path();
  }
}

void note_acquire(ThreadRecord& thread, const void* lock, LockType type, std::uint8_t flags) {
  if (--thread.looking == 0) {
    if (thread.to_time != lock) thread.to_time = nullptr;
    restore_lock_path(thread);
  }
  Store* in = process.living.load(std::memory_order_relaxed) > 1
                  ? store.load(std::memory_order_acquire)
                  : nullptr;
  if (in == nullptr) return;
  const Slot* slot = nullptr;
  thread.each([&](const Recorded& one) {
    if (one.lock == lock && one.slot != thread.top) slot = one.slot;
    return slot == nullptr;
  });
  if (slot == nullptr) return;
  Use* use = find_or_add(*in, thread, {lock, type, flags, slot, slot->registers.pc}, true);
  if (use == nullptr) return;
  if (!use->exact && use->site != 0) keep_exact_site(*in, thread, *slot, *use);
  if (thread.to_time != lock || thread.timed.load(std::memory_order_relaxed) != nullptr) return;
  thread.to_time = nullptr;
  // Its next release is to come by: note_release() ends what begins here.
  Seen& seen = thread.seen[seen_index(lock)];
  if (seen.word.load(std::memory_order_relaxed) == seen_word(lock, flags)) {
    seen.times -= seen.left - 1;
    seen.left = 1;
  }
  thread.timed_since = ticks();
  thread.timed.store(lock, std::memory_order_relaxed);
}

void forget(const void* lock) {
  if (inject::armed) [[unlikely]]
    inject::probing::repaired(lock);
  Store* in = store.load(std::memory_order_acquire);
  if (in == nullptr || !may_have_locks(lock)) return;
  auto address = reinterpret_cast<std::uintptr_t>(lock);
  drop_range(*in, address, address + 1);
}

void forget_range(const void* begin, std::size_t size) {
  Store* in = store.load(std::memory_order_acquire);
  if (in == nullptr || size == 0) return;
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t end = first + size;
  if (end < first) return;
  if (size / kPage > kBuckets) {
    drop_where(*in, [&](const Lock&, std::uintptr_t at) { return at >= first && at < end; });
    return;
  }
  for (std::uintptr_t page = first; page < end; page = (page / kPage + 1) * kPage)
    if (may_have_locks(reinterpret_cast<const void*>(page)))
      drop_range(*in, page, std::min(end, (page / kPage + 1) * kPage));
}

void forget_unloaded() {
  Store* in = store.load(std::memory_order_acquire);
  if (in == nullptr) return;
  drop_where(*in, [in](const Lock& one, std::uintptr_t address) {
    if (one.place == Place::kModule && !in_module(address)) return true;
    // Whoever took it took it in code that is gone: another's may come to lie at its address.
    each_use(*in, one, [&](Use& use) {
      if (use.owner.load(std::memory_order_relaxed) != 0 && !in_module(use.caller))
        drop(use, address);
      return true;
    });
    return false;
  });
}

void in_child(ThreadRecord& self) {
  const ForkHeld held = last_fork_held();
  for (std::uint32_t i = 0; i < held.count; ++i)
    if (held.locks[i].self != 0) forget(reinterpret_cast<const void*>(held.locks[i].address));
  self.life_number.store(next_life(), std::memory_order_relaxed);
  clear_seen(self);
  self.to_time = nullptr;
  self.timed.store(nullptr, std::memory_order_relaxed);
  restore_lock_path(self);
}

const ThreadRecord& thread_of(const Use& use) {
  return *registry.at(std::uint32_t(use.owner.load(std::memory_order_relaxed) >> 32));
}

const Site* site_of(const Use& use) {
  Store* in = store.load(std::memory_order_acquire);
  return use.site != 0 ? at<Site>(*in, use.site) : nullptr;
}

std::uint64_t uses(const Use& use, const void* lock) {
  const ThreadRecord& thread = thread_of(use);
  const std::uint32_t offset = offset_of(*store.load(std::memory_order_acquire), use);
  std::uint64_t since = 0;
  for (const std::uint32_t place : {seen_index(lock), seen_index(lock) ^ 1}) {
    const Seen& seen = thread.seen[place];
    if (thread.seen_uses[place] == offset &&
        (seen.word.load(std::memory_order_relaxed) & ~std::uintptr_t{1}) ==
            reinterpret_cast<std::uintptr_t>(lock))
      since += seen.times - seen.left;
  }
  return use.count + since;
}

std::uint32_t held_share(const Use& use, const void* lock, std::uint64_t now) {
  constexpr double kMillion = 1e6;
  if (use.samples == 0 || now <= use.first) return kUnknownShare;
  const double held = double(use.held) / double(use.samples) * double(uses(use, lock));
  return std::uint32_t(std::min(held / double(now - use.first), 1.0) * kMillion);
}

void each_used_by_lost(VisitUsed visit) {
  Store* in = store.load(std::memory_order_acquire);
  if (in == nullptr) return;
  const std::uint64_t now = ticks();
  for (const Place place : {Place::kModule, Place::kOther})
    for (auto& bucket : in->buckets)
      each_in(*in, bucket, [&](Lock& one) {
        const std::uintptr_t address = one.address.load(std::memory_order_relaxed);
        if (address <= 1 || one.place != place) return true;
        const auto* lock = reinterpret_cast<const void*>(address);
        const LostUses found = uses_of(*in, one, lock, 0, now);
        if (found.longest != nullptr) visit(lock, one.type, found);
        return true;
      });
}

LostUses lost_uses(const void* lock, LockType type, std::uint8_t flags) {
  Store* in = store.load(std::memory_order_acquire);
  if (in == nullptr || !may_have_locks(lock)) return {};
  auto address = reinterpret_cast<std::uintptr_t>(lock);
  const std::uint64_t now = ticks();
  LostUses found;
  each_in(*in, bucket_of(*in, address), [&](Lock& one) {
    if (one.address.load(std::memory_order_relaxed) != address || one.type != type) return true;
    if (one.place == Place::kOther && (!watches_heap || on_any_stack(address))) return true;
    found = uses_of(*in, one, lock, flags, now);
    return true;
  });
  return found;
}

void forget_lost_uses(const void* lock) {
  Store* in = store.load(std::memory_order_acquire);
  if (in == nullptr || !may_have_locks(lock)) return;
  const auto address = reinterpret_cast<std::uintptr_t>(lock);
  each_in(*in, bucket_of(*in, address), [&](Lock& one) {
    if (one.address.load(std::memory_order_relaxed) != address) return true;
    each_use(*in, one, [&](Use& use) {
      const ThreadRecord* thread = owner(use.owner.load(std::memory_order_relaxed));
      if (thread != nullptr && is_lost(*thread)) use.owner.store(0, std::memory_order_relaxed);
      return true;
    });
    return true;
  });
}

}  // namespace forkscope::history
