#include "detector/inspect/frozen_memory.hpp"

#include <algorithm>

namespace forkscope {

ElfImage* FrozenMemory::image(const ModuleRecord& module) {
  auto at = images_.find(module.open_path());
  if (at == images_.end())
    at = images_.emplace(module.open_path(), ElfImage::open(module.open_path())).first;
  return at->second.get();
}

FrozenMemory::Mapping FrozenMemory::code_at(std::uint64_t address) {
  for (const ModuleRecord& module : modules_) {
    if (address < module.start || address >= module.end) continue;
    ElfImage* file = image(module);
    if (file != nullptr && file->executable(address - module.bias)) return {&module, file};
  }
  return {nullptr, nullptr};
}

bool FrozenMemory::read_file(std::uint64_t address, std::span<std::byte> out) {
  for (const ModuleRecord& module : modules_) {
    if (address < module.start || address >= module.end) continue;
    ElfImage* file = image(module);
    if (file != nullptr && file->read(address - module.bias, out, segments_)) return true;
  }
  return false;
}

bool FrozenMemory::read_byte(std::uint64_t address, std::byte& out) {
  for (const MemoryBytes& slice : slices_) {
    if (address >= slice.address && address - slice.address < slice.bytes.size()) {
      out = slice.bytes[std::size_t(address - slice.address)];
      last_source_ = Source::kSlice;
      return true;
    }
  }
  if (address >= kExtraBase && address - kExtraBase < extra_.size()) {
    out = extra_[std::size_t(address - kExtraBase)];
    last_source_ = Source::kExtra;
    return true;
  }
  if (!read_file(address, std::span(&out, 1))) return false;
  last_source_ = Source::kFile;
  return true;
}

bool FrozenMemory::read(std::uint64_t address, std::span<std::byte> out) {
  if (out.empty() || address > UINT64_MAX - out.size()) return false;
  const auto touches = [&](std::uint64_t start, std::uint64_t size) {
    return address < start + size && start < address + out.size();
  };
  const bool copied = std::any_of(slices_.begin(), slices_.end(), [&](const MemoryBytes& slice) {
    return touches(slice.address, slice.bytes.size());
  });
  if (!copied && !touches(kExtraBase, extra_.size()) && read_file(address, out)) {
    last_source_ = Source::kFile;
    return true;
  }
  // Slices may begin or end inside the range, so byte by byte.
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!read_byte(address + i, out[i])) return false;
  }
  return true;
}

std::uint64_t FrozenMemory::add(std::span<const std::byte> bytes) {
  extra_.resize((extra_.size() + 7) / 8 * 8);
  const std::uint64_t address = kExtraBase + extra_.size();
  extra_.insert(extra_.end(), bytes.begin(), bytes.end());
  extra_.resize((extra_.size() + 7) / 8 * 8);  // libunwind reads whole words
  return address;
}

}  // namespace forkscope
