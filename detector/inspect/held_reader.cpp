#include "detector/inspect/held_reader.hpp"

#include <algorithm>
#include <cstring>

#include "detector/inspect/exported_symbol.hpp"
#include "detector/tracker/held_rules.hpp"

namespace forkscope {
namespace {

using record::LockType;

constexpr int kTries = 3;
/// A lock that no table has had for so many looks is not read: if it is taken again, a table has
/// it.
constexpr std::uint64_t kRecent = 256, kForgotten = 8 * kRecent;
/// Looks for which a slot may contradict its lock's words before it is taken for a stale one.
constexpr std::uint32_t kPatience = 8;

/// Locks without owner word that fork() can orphan.
bool counts(LockType type) {
  return type == LockType::kRwlock || type == LockType::kSpinlock || type == LockType::kSemaphore ||
         type == LockType::kStaticGuard;
}

std::uint64_t number(const void* address) { return reinterpret_cast<std::uint64_t>(address); }

/// Whether the library's file is there under its own name: an old version exports no tables.
bool is_our_library(const ModuleRecord& module) {
  return module.path.ends_with("/libforkscope.so");
}

}  // namespace

HeldReader::Result HeldReader::find(LiveMemory& memory, const ProcessEvidence& seen) {
  Result result;
  for (const ModuleRecord& module : seen.modules) {
    const auto address = ExportedSymbols(memory, module).find(kHeldTablesSymbol);
    if (!address) {
      if (is_our_library(module)) result.found = Found::kOtherVersion;
      continue;
    }
    const auto tables = memory.get<HeldTables>(*address);
    if (!tables || std::memcmp(tables->magic, kHeldTablesMagic, sizeof tables->magic) != 0 ||
        tables->version != kHeldTablesVersion || tables->layout != held_tables_layout()) {
      result.found = Found::kOtherVersion;
      continue;
    }
    std::unique_ptr<HeldReader> reader(new HeldReader(memory, *tables, seen));
    if (!reader->before_.find()) return {Found::kNotAtWork, nullptr};
    return {Found::kYes, std::move(reader)};
  }
  return result;
}

HeldReader::HeldReader(LiveMemory& memory, const HeldTables& tables, const ProcessEvidence& seen)
    : memory_(memory),
      before_(memory, tables, seen.own_pid),
      after_(memory, tables, seen.own_pid),
      mappings_(seen.mappings) {}

HeldReader::Look HeldReader::look(std::vector<HeldNow>& held) {
  ++look_;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    bool torn = false;
    const Look seen = once(held, torn);
    if (!torn) return seen;
    ++torn_;
  }
  return Look::kLost;
}

HeldReader::Look HeldReader::once(std::vector<HeldNow>& held, bool& torn) {
  held.clear();
  if (!before_.find()) return Look::kGone;
  const HeldRecords::Read read = before_.copy();
  torn = read == HeldRecords::Read::kTorn;
  if (read != HeldRecords::Read::kDone) return Look::kGone;
  discover();
  if (!read_words()) return Look::kGone;
  add_mutexes(held);
  torn = others_ && !add_others(held);
  return Look::kTaken;
}

void HeldReader::discover() {
  live_.clear();
  dropped_ = 0;
  others_ = false;
  for (std::size_t i = 0; i < before_.size(); ++i) {
    if (!before_.alive(i)) continue;
    live_[before_[i].tid.load(std::memory_order_relaxed)] = i;
    dropped_ += before_[i].dropped;
    before_[i].each([&](const Recorded& one) {
      note(one);
      return true;
    });
  }
  if (look_ % kRecent == 0)
    std::erase_if(known_, [&](const auto& one) { return one.second.seen + kForgotten < look_; });
}

void HeldReader::note(const Recorded& one) {
  if (one.hold != Hold::kOwnerWord && !counts(one.type)) return;
  auto [found, added] = known_.try_emplace(number(one.lock));
  Known& lock = found->second;
  if (added || lock.type != one.type) {
    lock = Known{};
    lock.type = one.type;
    lock.shared = is_shared(found->first);
  }
  if (lock.seen != look_) ++lock.sightings;
  lock.seen = look_;
  others_ = others_ || one.hold == Hold::kHeld;
}

bool HeldReader::read_words() {
  pieces_.clear();
  read_.clear();
  for (auto& [address, lock] : known_) {
    lock.readable = false;
    if (lock.shared || lock.seen + kRecent < look_) continue;
    const std::size_t size =
        lock.type == LockType::kUnknown ? sizeof lock.words : lock_words::size(lock.type);
    pieces_.push_back({address, {lock.words, size}, false});
    read_.push_back(&lock);
  }
  // Of freed locks some may be unmapped: they are not held.
  if (memory_.gather(pieces_) == 0 && !pieces_.empty() && !before_.find()) return false;
  for (std::size_t i = 0; i < read_.size(); ++i) read_[i]->readable = pieces_[i].read;
  return true;
}

void HeldReader::add_mutexes(std::vector<HeldNow>& held) const {
  for (const auto& [address, lock] : known_) {
    if (!lock.readable || lock.type != LockType::kUnknown) continue;
    const MutexWords words(lock.words);
    const auto owner = live_.find(words.owner());
    if (owner == live_.end() || !held_by(words, owner->first)) continue;
    HeldNow now{address, words.type(), words.flags(), owner->first, 0};
    before_[owner->second].each([&](const Recorded& one) {
      if (number(one.lock) != address) return true;
      now.caller = one.caller;
      return false;
    });
    held.push_back(now);
  }
}

bool HeldReader::add_others(std::vector<HeldNow>& held) {
  after_.follow(before_);
  if (after_.copy() != HeldRecords::Read::kDone) return false;
  bool whole = true;
  for (const auto& [tid, index] : live_) {
    before_[index].each([&, tid = tid, index = index](const Recorded& one) {
      if (one.hold != Hold::kHeld || !counts(one.type)) return true;
      Known& lock = known_[number(one.lock)];
      if (!lock.readable) return true;
      const Answer answer = judge(index, one, lock);
      whole = whole && answer != Answer::kTorn;
      if (answer != Answer::kHeld) return true;
      auto flags = std::uint8_t(one.flags & record::kLockReader);
      if (one.type == LockType::kSemaphore) flags |= record::kLockEvidence;
      held.push_back({number(one.lock), one.type, flags, tid, one.caller});
      return true;
    });
  }
  return whole;
}

HeldReader::Answer HeldReader::judge(std::size_t index, const Recorded& one, Known& lock) const {
  const ThreadRecord& before = before_[index];
  const ThreadRecord& after = after_[index];
  const std::int32_t tid = before.tid.load(std::memory_order_relaxed);
  if (!after_.alive(index) || after.tid.load(std::memory_order_relaxed) != tid)
    return Answer::kTorn;
  bool stayed = false, same = true;
  after.each([&](const Recorded& later) {
    if (later.lock != one.lock || later.hold != Hold::kHeld) return true;
    if ((later.slot == nullptr) != (one.slot == nullptr)) return true;
    if (one.slot != nullptr && later.slot - after.slots != one.slot - before.slots) return true;
    stayed = true;
    same = later.type == one.type && later.flags == one.flags;
    return false;
  });
  if (!same || lock.type != one.type) return Answer::kTorn;
  // Given up in between: it was held when it was read. The type must have been seen twice, as one
  // of the two may be of the slot's next lock.
  if (!stayed) return lock.sightings > 1 ? Answer::kHeld : Answer::kFree;
  const void* waits_for = before.wait_object.load(std::memory_order_relaxed);
  if (lock_words::taken(lock.words, one.type)) {
    lock.contradictions = 0;
    return words_agree(one, lock.words, tid, waits_for) ? Answer::kHeld : Answer::kFree;
  }
  if (one.type == LockType::kSemaphore) return Answer::kFree;
  return ++lock.contradictions < kPatience ? Answer::kHeld : Answer::kFree;
}

HolderThread HeldReader::thread(std::int32_t tid) const {
  HolderThread thread{tid, "", 0};
  const auto found = live_.find(tid);
  if (found == live_.end()) return thread;
  const ThreadRecord& record = before_[found->second];
  thread.name.assign(record.name, strnlen(record.name, sizeof record.name));
  thread.start = reinterpret_cast<std::uint64_t>(record.start);
  return thread;
}

void HeldReader::set_mappings(std::vector<Mapping> mappings) {
  mappings_ = std::move(mappings);
  for (auto& [address, lock] : known_) lock.shared = is_shared(address);
}

const Mapping* HeldReader::mapping_of(std::uint64_t address) const {
  const auto after = std::upper_bound(
      mappings_.begin(), mappings_.end(), address,
      [](std::uint64_t wanted, const Mapping& mapping) { return wanted < mapping.start; });
  if (after == mappings_.begin()) return nullptr;
  const Mapping& mapping = *std::prev(after);
  return address < mapping.end ? &mapping : nullptr;
}

bool HeldReader::is_shared(std::uint64_t address) const {
  const Mapping* mapping = mapping_of(address);
  return mapping != nullptr && mapping->shared;
}

}  // namespace forkscope
