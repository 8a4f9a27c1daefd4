#include "detector/verdict/exposure.hpp"

#include <algorithm>
#include <utility>

#include "detector/verdict/words.hpp"

namespace forkscope {

void ExposureCounter::add(const std::vector<HeldNow>& held) {
  const std::uint64_t look = looks_++;
  for (const HeldNow& now : held) {
    with_semaphores_.hit(look);
    if ((now.flags & record::kLockEvidence) == 0) any_.hit(look);
    auto found = locks_.find(now.lock);
    if (found == locks_.end()) {
      if (locks_.size() >= kMostLocks) {
        ++uncounted_;
        continue;
      }
      found = locks_.emplace(now.lock, Lock{}).first;
    } else if (found->second.last.type != now.type) {
      found->second = Lock{};  // the memory is another lock's by now
    }
    Lock& lock = found->second;
    lock.last = now;
    lock.series.hit(look);
    if (lock.holders.size() < kMostHolders || lock.holders.contains(now.tid))
      ++lock.holders[now.tid];
    if (now.caller != 0 && (lock.sites.size() < kMostSites || lock.sites.contains(now.caller)))
      ++lock.sites[now.caller].hits;
  }
}

bool ExposureCounter::wants_site(std::uint64_t lock, std::uint64_t caller) const {
  if (stacks_ >= kMostStacks) return false;
  const auto found = locks_.find(lock);
  if (found == locks_.end()) return false;
  const auto site = found->second.sites.find(caller);
  return site != found->second.sites.end() && site->second.stack.addresses.empty();
}

void ExposureCounter::site(std::uint64_t lock, std::uint64_t caller, UnwoundStack stack) {
  const auto found = locks_.find(lock);
  if (found == locks_.end()) return;
  const auto site = found->second.sites.find(caller);
  if (site == found->second.sites.end() || stack.addresses.empty()) return;
  site->second.stack = std::move(stack);
  ++stacks_;
}

namespace {

std::vector<Frame> named(std::uint64_t caller, const UnwoundStack& stack, Namer& namer,
                         const std::vector<ModuleRecord>& modules) {
  std::vector<Frame> frames;
  for (std::uint64_t address :
       stack.addresses.empty() ? std::vector<std::uint64_t>{caller} : stack.addresses) {
    auto more = namer.code(address, true, modules);
    frames.insert(frames.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
  }
  return frames;
}

record::HeldLock as_held_lock(const HeldNow& now) {
  record::HeldLock held{};
  held.address = now.lock;
  held.caller = now.caller;
  held.owner = now.tid;
  held.type = now.type;
  held.flags = now.flags;
  return held;
}

}  // namespace

void ExposureCounter::name(ExposedLock& exposed, const Lock& lock, Namer& namer,
                           const std::vector<ModuleRecord>& modules) const {
  namer.data(exposed.lock, modules);
  for (const auto& [tid, hits] : lock.holders) {
    ExposedLock::Holder holder{tid, "", std::nullopt, hits};
    if (const auto known = threads_.find(tid); known != threads_.end()) {
      holder.name = known->second.name;
      if (known->second.start != 0)
        holder.start = namer.code(known->second.start, false, modules).front();
    }
    exposed.holders.push_back(std::move(holder));
  }
  for (const auto& [caller, site] : lock.sites)
    exposed.sites.push_back(
        {named(caller, site.stack, namer, modules), site.stack.complete, site.hits});
  const auto more_hits = [](const auto& a, const auto& b) { return a.hits > b.hits; };
  std::stable_sort(exposed.holders.begin(), exposed.holders.end(), more_hits);
  std::stable_sort(exposed.sites.begin(), exposed.sites.end(), more_hits);
}

Exposure ExposureCounter::result(const ExposureFacts& facts, Namer& namer,
                                 const std::vector<ModuleRecord>& modules, std::size_t most) const {
  Exposure exposure;
  exposure.facts = facts;
  exposure.any = proportion(any_, looks_);
  exposure.any_with_semaphores = proportion(with_semaphores_, looks_);
  exposure.uncounted = uncounted_;
  std::vector<const Lock*> order;
  for (const auto& [address, lock] : locks_) order.push_back(&lock);
  std::stable_sort(order.begin(), order.end(), [](const Lock* a, const Lock* b) {
    return a->series.hits() > b->series.hits();
  });
  for (const Lock* lock : order) {
    ExposedLock exposed;
    exposed.lock.address = lock->last.lock;
    exposed.lock.type = lock_type_words(lock->last.type, lock->last.flags);
    exposed.probability = proportion(lock->series, looks_);
    exposed.evidence = evidence_word(as_held_lock(lock->last));
    if (exposure.locks.size() < most) name(exposed, *lock, namer, modules);
    exposure.locks.push_back(std::move(exposed));
  }
  return exposure;
}

}  // namespace forkscope
