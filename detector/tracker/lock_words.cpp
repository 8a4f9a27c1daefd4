#include "detector/tracker/lock_words.hpp"

#include <atomic>

#include "detector/tracker/sys.hpp"

namespace forkscope::lock_words {

bool surely_taken(const void* lock, record::LockType type) {
  if (type == record::LockType::kCustom) return true;
  if (type == record::LockType::kFile) {
    // The stream's own words are elsewhere, behind a pointer that may be anything by now.
    auto* place = &static_cast<const FILE*>(lock)->_lock;
    if (!sys::readable(place, sizeof *place) || !sys::readable(file_lock(lock), sizeof(FileLock)))
      return false;
  } else if (!sys::readable(lock, size(type))) {
    return false;
  }
  return taken(lock, type);
}

namespace {

/// A new condition variable for several processes is zero but for that bit of __wrefs.
const ConditionLayout* layout_of_libc() {
  pthread_condattr_t attributes;
  pthread_cond_t condition;
  if (pthread_condattr_init(&attributes) != 0 ||
      pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) != 0 ||
      pthread_cond_init(&condition, &attributes) != 0)
    return nullptr;
  for (const ConditionLayout* layout : {&kConditionWithReferences, &kConditionWithoutReferences})
    if (load<std::uint32_t>(&condition, std::size_t(layout->waiters)) == kConditionShared)
      return layout;
  return nullptr;
}

std::uint32_t waiter_word(const void* condition, const ConditionLayout& layout) {
  return load<std::uint32_t>(condition, std::size_t(layout.waiters));
}

}  // namespace

const ConditionLayout* condition_layout() {
  static constinit const ConditionLayout unknown{};
  static constinit std::atomic<const ConditionLayout*> answer{nullptr};  // any thread finds the same
  const ConditionLayout* known = answer.load(std::memory_order_relaxed);
  if (known == nullptr) {
    const ConditionLayout* found = layout_of_libc();
    known = found != nullptr ? found : &unknown;
    answer.store(known, std::memory_order_relaxed);
  }
  return known != &unknown ? known : nullptr;
}

bool condition_is_shared(const void* condition, const ConditionLayout* layout) {
  return layout == nullptr || (waiter_word(condition, *layout) & kConditionShared) != 0;
}

bool condition_has_waiters(const void* condition, const ConditionLayout* layout) {
  return layout != nullptr && waiter_word(condition, *layout) >> kConditionWaiterShift != 0;
}

bool condition_signal_blocks(const void* condition, bool broadcast, const ConditionLayout* layout) {
  if (!condition_has_waiters(condition, layout)) return false;
  auto original = load<std::uint32_t>(condition, std::size_t(layout->original));
  if ((original & kConditionLockMask) != 0) return true;  // whoever has it is gone
  if (layout->references < 0) return false;
  auto sequence = load<std::uint64_t>(condition, kConditionSequence);
  auto start = load<std::uint64_t>(condition, kConditionStart);
  std::size_t older = (sequence & 1) ^ 1;
  auto size = [&](std::size_t group) {
    return load<std::uint32_t>(condition, std::size_t(layout->sizes) + 4 * group);
  };
  bool younger_is_empty =
      std::uint32_t((sequence >> 1) - (start >> 1) - (original >> 2)) + size(older ^ 1) == 0;
  if (younger_is_empty || (!broadcast && size(older) != 0)) return false;
  return (load<std::uint32_t>(condition, std::size_t(layout->references) + 4 * older) >> 1) != 0;
}

}  // namespace forkscope::lock_words
