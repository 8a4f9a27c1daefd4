#include "detector/tracker/unsafe_sites.hpp"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstring>

#include "detector/tracker/process.hpp"

namespace forkscope::unsafe_sites {

namespace {

using namespace record;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0xff51afd7ed558ccdu;
  return hash ^ hash >> 32;
}

std::uint64_t mixed(std::uint64_t hash, const char* text) {
  for (; *text != '\0'; ++text)
    hash = mixed(hash, std::uint64_t(static_cast<unsigned char>(*text)));
  return hash;
}

}  // namespace

/// The loader knows the main program by an empty name: how it was started stands for it.
std::uint64_t key_of(std::uint64_t what, const void* address) {
  std::uint64_t hash = mixed(0x9e3779b97f4a7c15u, what);
  dl_find_object found{};
  if (_dl_find_object(const_cast<void*>(address), &found) != 0)
    return mixed(mixed(hash, process.image), reinterpret_cast<std::uint64_t>(address)) | 1;
  const link_map& object = *found.dlfo_link_map;
  const char* name = object.l_name;
  if (name == nullptr || name[0] == '\0')
    name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  if (name != nullptr) hash = mixed(hash, name);
  return mixed(hash, reinterpret_cast<std::uint64_t>(address) - object.l_addr) | 1;  // 0: free
}

namespace {

/// The table; the first who needs it makes it. Null when there is no room.
UnsafeSites* table() {
  if (!process.arena.attached()) return nullptr;
  auto* header = process.arena.header();
  auto at = [header](std::uint64_t offset) -> UnsafeSites* {
    if (!process.arena.reaches(offset + sizeof(RecordHeader) + sizeof(UnsafeSites))) return nullptr;
    auto* record = reinterpret_cast<std::byte*>(header) + offset;
    return reinterpret_cast<UnsafeSites*>(record + sizeof(RecordHeader));
  };
  std::uint64_t offset = header->unsafe_sites.load(std::memory_order_acquire);
  if (offset != 0) return at(offset);
  auto space = process.reserve(sizeof(UnsafeSites));  // zero: nobody has written there
  if (!space) return nullptr;
  // Who comes second leaves a hole of this size.
  if (!header->unsafe_sites.compare_exchange_strong(offset, space.offset)) return at(offset);
  process.publish(space, Type::kUnsafeSites);
  return at(space.offset);
}

bool is_in(const dl_find_object& object, const void* address) {
  return address >= object.dlfo_map_start && address < object.dlfo_map_end;
}

}  // namespace

Claim claim(UnsafeCall call, const void* caller) {
  return claim(key_of(std::uint64_t(call), caller));
}

Claim claim(std::uint64_t key) {
  UnsafeSites* sites = table();
  if (sites == nullptr) return {};
  constexpr std::size_t kProbes = 64;
  for (std::size_t probe = 0; probe < kProbes; ++probe) {
    UnsafeSite& site = sites->sites[(key + probe) % kMaxUnsafeSites];
    std::uint64_t taken = site.key.load(std::memory_order_relaxed);
    const bool first = taken == 0 && site.key.compare_exchange_strong(taken, key);
    if (!first && taken != key) continue;
    site.children.fetch_add(1, std::memory_order_relaxed);
    return {&site, first};
  }
  return {};
}

bool is_in_libc(const void* address) {
  dl_find_object libc{}, loader{};
  return (_dl_find_object(reinterpret_cast<void*>(&gnu_get_libc_version), &libc) == 0 &&
          is_in(libc, address)) ||
         (_dl_find_object(&_r_debug, &loader) == 0 && is_in(loader, address));
}

}  // namespace forkscope::unsafe_sites
