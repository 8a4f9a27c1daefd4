#include "detector/inspect/held_records.hpp"

#include <algorithm>

namespace forkscope {
namespace {

std::uint64_t number(const void* address) { return reinterpret_cast<std::uint64_t>(address); }

template <typename T>
LiveMemory::Piece piece(const void* address, T& value) {
  return {number(address), std::as_writable_bytes(std::span(&value, 1)), false};
}

/// Most threads hold no more than these, which come with the first read.
constexpr std::size_t kFirstSlots = 3;
constexpr std::size_t kFirstBytes = offsetof(ThreadRecord, slots) + kFirstSlots * sizeof(Slot);
static_assert(kFirstSlots <= kSlots);

std::byte* bytes_of(ThreadRecord& record) { return reinterpret_cast<std::byte*>(&record); }

std::size_t used_slots(const ThreadRecord& record) {
  return std::size_t(record.top - record.slots);
}

}  // namespace

bool HeldRecords::find() {
  std::int32_t pid = 0;
  std::uint64_t first_chunk = 0;
  LiveMemory::Piece now[] = {piece(tables_.pid, pid), piece(tables_.generation, generation_),
                             piece(tables_.used, used_), piece(tables_.chunks, first_chunk)};
  if (memory_.gather(now) != std::size(now) || pid != pid_) return false;
  const std::uint32_t most = Registry::kChunks * Registry::kChunkSize;
  if (used_ == 0 || used_ > most || first_chunk == 0) return false;
  if (!chunks_.empty() && chunks_.front() != first_chunk) return false;  // another program
  const std::size_t wanted = (used_ + Registry::kChunkSize - 1) / Registry::kChunkSize;
  if (chunks_.size() < wanted) {
    std::vector<std::uint64_t> chunks(wanted);
    if (!memory_.read(number(tables_.chunks), std::as_writable_bytes(std::span(chunks))))
      return false;
    if (std::find(chunks.begin(), chunks.end(), 0) != chunks.end()) return false;
    chunks_ = std::move(chunks);
  }
  return true;
}

void HeldRecords::follow(const HeldRecords& other) {
  generation_ = other.generation_;
  used_ = other.used_;
  chunks_ = other.chunks_;
}

std::uint64_t HeldRecords::address_of(std::size_t index) const {
  return chunks_[index / Registry::kChunkSize] +
         index % Registry::kChunkSize * sizeof(ThreadRecord);
}

std::uint64_t HeldRecords::address_of(std::size_t index, const Slot& slot) const {
  return address_of(index) + std::uint64_t(reinterpret_cast<const std::byte*>(&slot) -
                                           reinterpret_cast<const std::byte*>(&records_[index]));
}

bool HeldRecords::alive(std::size_t index) const {
  const ThreadRecord& record = records_[index];
  return record.life.load(std::memory_order_relaxed) == Life::kAlive &&
         record.generation.load(std::memory_order_relaxed) == generation_ &&
         record.tid.load(std::memory_order_relaxed) != 0;
}

HeldRecords::Read HeldRecords::copy() {
  if (room_ < used_) {
    room_ = std::max<std::size_t>(2 * room_, used_);
    records_ = std::make_unique<ThreadRecord[]>(room_);
  }
  copied_ = used_;
  pieces_.clear();
  for (std::size_t i = 0; i < copied_; ++i)
    pieces_.push_back({address_of(i), {bytes_of(records_[i]), kFirstBytes}, false});
  if (memory_.gather(pieces_) != pieces_.size()) return Read::kGone;
  for (std::size_t i = 0; i < copied_; ++i)
    if (alive(i) && !relocate(i)) return Read::kTorn;
  return copy_rest() ? Read::kDone : Read::kGone;
}

bool HeldRecords::relocate(std::size_t index) {
  ThreadRecord& record = records_[index];
  const std::uint64_t first = address_of(index) + offsetof(ThreadRecord, slots);
  const std::uint64_t offset = number(record.top) - first;
  if (offset % sizeof(Slot) != 0 || offset / sizeof(Slot) > kSlots || record.deep > kDeepSlots)
    return false;
  record.top = record.slots + offset / sizeof(Slot);
  return true;
}

bool HeldRecords::copy_rest() {
  pieces_.clear();
  for (std::size_t i = 0; i < copied_; ++i) {
    if (!alive(i)) continue;
    ThreadRecord& record = records_[i];
    // The one above the top is looked at as well.
    const std::size_t slots = used_slots(record) + 1;
    if (slots > kFirstSlots)
      pieces_.push_back({address_of(i) + kFirstBytes,
                         {bytes_of(record) + kFirstBytes, (slots - kFirstSlots) * sizeof(Slot)},
                         false});
    // Nor is one above the deep slots worth a read, as long as there are none.
    record.deep_slots[0].word.store(0, std::memory_order_relaxed);
    if (record.deep == 0) continue;
    constexpr std::size_t kAt = offsetof(ThreadRecord, deep_slots);
    pieces_.push_back({address_of(i) + kAt,
                       {bytes_of(record) + kAt, (record.deep + 1) * sizeof(DeepSlot)},
                       false});
  }
  return memory_.gather(pieces_) == pieces_.size();
}

}  // namespace forkscope
