#include "detector/inspect/unwind_memory.hpp"

#include <algorithm>

namespace forkscope {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMostVdso = 64 << 10;  // two or three pages so far

bool is_vdso(const ModuleRecord& module) { return module.path.starts_with("[vdso"); }

}  // namespace

void UnwindMemory::start(const std::vector<MemoryBytes>& slices) {
  slices_ = &slices;
  pages_.clear();
}

ElfImage* UnwindMemory::image(const ModuleRecord& module) {
  const auto [at, fresh] = images_.try_emplace(module.open_path());
  if (fresh && is_vdso(module) && process_ != nullptr && module.end > module.start &&
      module.end - module.start <= kMostVdso) {
    std::vector<std::byte> bytes(module.end - module.start);
    if (process_->read(module.start, bytes)) at->second = ElfImage::copy(bytes);
  } else if (fresh) {
    at->second = ElfImage::open(module.open_path());
  }
  return at->second.get();
}

UnwindMemory::Mapping UnwindMemory::code_at(std::uint64_t address) {
  for (const ModuleRecord& module : modules_) {
    if (address < module.start || address >= module.end) continue;
    ElfImage* file = image(module);
    if (file != nullptr && file->executable(address - module.bias)) return {&module, file};
  }
  return {nullptr, nullptr};
}

bool UnwindMemory::read_file(std::uint64_t address, std::span<std::byte> out) {
  for (const ModuleRecord& module : modules_) {
    if (address < module.start || address >= module.end) continue;
    ElfImage* file = image(module);
    if (file != nullptr && file->read(address - module.bias, out, segments_)) return true;
  }
  return false;
}

// A page at a time: a frame's words lie together, and a stack's last page may be followed by none.
bool UnwindMemory::read_process(std::uint64_t address, std::span<std::byte> out) {
  if (process_ == nullptr || !slices_->empty()) return false;
  while (!out.empty()) {
    const std::uint64_t start = address / kPage * kPage;
    const auto [at, fresh] = pages_.try_emplace(start);
    if (fresh) {
      at->second.resize(kPage);
      if (!process_->read(start, at->second)) at->second.clear();
    }
    const std::size_t skip = std::size_t(address - start);
    const std::size_t n = std::min(out.size(), std::size_t(kPage) - skip);
    if (!at->second.empty()) {
      std::copy_n(at->second.begin() + std::ptrdiff_t(skip), n, out.begin());
    } else if (!process_->read(address, out.first(n))) {  // a core file may end inside a page
      return false;
    }
    address += n;
    out = out.subspan(n);
  }
  return true;
}

bool UnwindMemory::read_byte(std::uint64_t address, std::byte& out) {
  for (const MemoryBytes& slice : *slices_) {
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
  if (read_file(address, std::span(&out, 1))) {
    last_source_ = Source::kFile;
    return true;
  }
  if (!read_process(address, std::span(&out, 1))) return false;
  last_source_ = Source::kProcess;
  return true;
}

bool UnwindMemory::read(std::uint64_t address, std::span<std::byte> out) {
  if (out.empty() || address > UINT64_MAX - out.size()) return false;
  const auto touches = [&](std::uint64_t start, std::uint64_t size) {
    return address < start + size && start < address + out.size();
  };
  const auto copied = [&](const MemoryBytes& slice) {
    return touches(slice.address, slice.bytes.size());
  };
  const bool mixed =
      std::any_of(slices_->begin(), slices_->end(), copied) || touches(kExtraBase, extra_.size());
  if (!mixed && read_file(address, out)) {
    last_source_ = Source::kFile;
    return true;
  }
  if (!mixed && read_process(address, out)) {
    last_source_ = Source::kProcess;
    return true;
  }
  // Slices may begin or end inside the range, so byte by byte.
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!read_byte(address + i, out[i])) return false;
  }
  return true;
}

std::uint64_t UnwindMemory::add(std::span<const std::byte> bytes) {
  extra_.resize((extra_.size() + 7) / 8 * 8);
  const std::uint64_t address = kExtraBase + extra_.size();
  extra_.insert(extra_.end(), bytes.begin(), bytes.end());
  extra_.resize((extra_.size() + 7) / 8 * 8);  // libunwind reads whole words
  return address;
}

}  // namespace forkscope
