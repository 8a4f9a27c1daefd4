#include "detector/tracker/inject_match.hpp"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "detector/tracker/births.hpp"
#include "detector/tracker/inject_symbols.hpp"
#include "detector/tracker/lock_names.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/stack.hpp"

namespace forkscope::inject {

namespace {

using record::LockType;

constexpr std::size_t kLockTypes = []() {
  std::size_t count = 0;
#define FORKSCOPE_LOCK_TYPE(id, words) ++count;
#include "detector/record/lock_types.def"
#undef FORKSCOPE_LOCK_TYPE
  return count;
}();

/// Frames of the call that takes a lock in which a function is looked for: wrappers of a few
/// levels.
constexpr std::size_t kFrames = 12;

// What is known from the options alone. Bits, one for each injection.
constinit std::uint32_t with_pattern = 0, every_lock = 0, while_held = 0, at_locks = 0;
constinit std::uint32_t by_type[kLockTypes] = {};
constinit std::uint64_t by_address[kMaxInjections] = {};
constinit std::uint32_t addresses = 0;

/// An object that has been looked at.
struct Module {
  std::atomic<const link_map*> map;
  std::uint64_t base, start;
  std::uint32_t injections;  ///< whose pattern is its path or file name
  SymbolRanges ranges;
};
constexpr std::uint32_t kModules = 1024;
constinit Module modules[kModules] = {};
constinit std::atomic<std::uint32_t> used{0};
/// Some pattern is a function's name, or the place of a call: stacks are walked.
constinit std::atomic<bool> any_code{false};
/// Before "module+0x1234": the place of a call, where there are no names.
constexpr char kSite[] = "site:";
constexpr std::size_t kSiteLength = sizeof kSite - 1;

template <typename Matches>
std::uint32_t bits_where(Matches&& matches) {
  std::uint32_t bits = 0;
  for (std::uint32_t i = 0; i < process.options.injections; ++i)
    if ((with_pattern >> i & 1) != 0 && matches(process.options.inject[i].lock))
      bits |= std::uint32_t{1} << i;
  return bits;
}

std::uint32_t by_name(const char* name) {
  return bits_where([&](const char* pattern) { return inject_matches(pattern, name); });
}

std::uint32_t by_path(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return by_name(path) | (slash != nullptr ? by_name(slash + 1) : 0);
}

/// "module+0x1234": the offset, and the pattern before it; false if there is none.
bool split_offset(const char* pattern, char (&module)[sizeof Injection::lock],
                  std::uint64_t& offset) {
  const char* plus = std::strrchr(pattern, '+');
  if (plus == nullptr || plus[1] != '0' || plus[2] != 'x' || plus[3] == '\0') return false;
  offset = 0;
  for (const char* at = plus + 3; *at != '\0'; ++at) {
    const char c = char(*at | 0x20);
    if (!((*at >= '0' && *at <= '9') || (c >= 'a' && c <= 'f'))) return false;
    offset = offset * 16 + std::uint64_t(*at <= '9' ? *at - '0' : c - 'a' + 10);
  }
  const auto length = std::size_t(plus - pattern);
  std::memcpy(module, pattern, length);
  module[length] = '\0';
  return true;
}

bool is_at(const char* pattern, const link_map& map, std::uint64_t address) {
  char module[sizeof Injection::lock], buffer[1024];
  std::uint64_t offset = 0;
  if (!split_offset(pattern, module, offset) || address - map.l_addr != offset) return false;
  const char* path = path_of(map, buffer);
  if (path == nullptr) return false;
  const char* slash = std::strrchr(path, '/');
  return inject_matches(module, path) || (slash != nullptr && inject_matches(module, slash + 1));
}

bool is_site(const char* pattern) { return std::strncmp(pattern, kSite, kSiteLength) == 0; }

std::uint32_t by_offset(const link_map& map, std::uint64_t address) {
  return bits_where([&](const char* pattern) { return is_at(pattern, map, address); });
}

std::uint32_t by_site(const link_map& map, std::uint64_t return_address) {
  return bits_where([&](const char* pattern) {
    return is_site(pattern) && is_at(pattern + kSiteLength, map, return_address);
  });
}

const Module* known(const link_map* map, std::uint64_t start) {
  const std::uint32_t count = std::min(used.load(std::memory_order_acquire), kModules);
  for (std::uint32_t i = 0; i < count; ++i)
    if (modules[i].map.load(std::memory_order_acquire) == map && modules[i].start == start &&
        modules[i].base == map->l_addr)
      return &modules[i];
  return nullptr;
}

/// Two threads may look at the same object at once: it is there twice then.
const Module* look_at(const link_map* map, std::uint64_t start) {
  const std::uint32_t index = used.fetch_add(1, std::memory_order_acq_rel);
  if (index >= kModules) {
    used.store(kModules, std::memory_order_relaxed);
    return nullptr;
  }
  Module& module = modules[index];
  char buffer[1024];
  const char* path = path_of(*map, buffer);
  module.start = start;
  module.base = map->l_addr;
  module.injections = path != nullptr ? by_path(path) : 0;
  module.ranges = read_symbols(*map, by_name);
  if (std::any_of(module.ranges.first, module.ranges.first + module.ranges.count,
                  [](const SymbolRange& range) { return range.code; }))
    any_code.store(true, std::memory_order_relaxed);
  module.map.store(map, std::memory_order_release);
  return &module;
}

const Module* module_of(std::uint64_t address) {
  dl_find_object found{};
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return nullptr;
  const auto start = reinterpret_cast<std::uint64_t>(found.dlfo_map_start);
  const Module* module = known(found.dlfo_link_map, start);
  return module != nullptr ? module : look_at(found.dlfo_link_map, start);
}

std::uint32_t by_symbol(const Module& module, std::uint64_t address, bool code) {
  constexpr int kOverlapping = 16;
  const SymbolRange* first = module.ranges.first;
  const SymbolRange* at = std::upper_bound(
      first, first + module.ranges.count, address,
      [](std::uint64_t wanted, const SymbolRange& range) { return wanted < range.begin; });
  std::uint32_t bits = 0;
  for (int i = 0; i < kOverlapping && at-- > first; ++i)
    if (address < at->end && at->code == code) bits |= at->injections;
  return bits;
}

std::uint32_t by_callers(const void* caller) {
  std::uint64_t frames[kFrames];
  const std::uint16_t count = walk_stack(frames, kFrames, caller);
  std::uint32_t bits = 0;
  for (std::uint16_t i = 0; i < count; ++i)
    if (const Module* module = module_of(frames[i])) {
      bits |= by_symbol(*module, frames[i] - 1, true);  // the call, not what comes after it
      bits |= by_site(*module->map.load(std::memory_order_relaxed), frames[i]);
    }
  return bits;
}

}  // namespace

void init_match() {
  for (std::uint32_t i = 0; i < process.options.injections; ++i) {
    const Injection& injection = process.options.inject[i];
    const std::uint32_t bit = std::uint32_t{1} << i;
    if ((facts_of(injection.action).keys & inject_keys::kLock) == 0) continue;
    at_locks |= bit;
    if (injection.action == InjectAction::kForkWhileHeld) while_held |= bit;
    if (injection.lock[0] == '\0') {
      every_lock |= bit;
      continue;
    }
    with_pattern |= bit;
    if (is_site(injection.lock)) any_code.store(true, std::memory_order_relaxed);
    if (injection.lock[0] == '*' && injection.lock[1] == '\0') continue;
    char nothing[sizeof Injection::lock];
    const char text[] = "+";
    char whole[sizeof Injection::lock + sizeof text];
    std::memcpy(whole, text, 1);
    std::memcpy(whole + 1, injection.lock, sizeof injection.lock);
    if (split_offset(whole, nothing, by_address[i]) && nothing[0] == '\0') addresses |= bit;
  }
  std::size_t type = 0;
#define FORKSCOPE_LOCK_TYPE(id, words) by_type[type++] = by_name(words);
#include "detector/record/lock_types.def"
#undef FORKSCOPE_LOCK_TYPE
}

std::uint32_t while_held_injections() { return while_held; }

std::uint32_t match(const Locked& locked) {
  // Nobody says that who waited for a semaphore has it: only where it is asked for.
  std::uint32_t bits = every_lock;
  if (locked.type == LockType::kSemaphore) bits &= ~while_held;
  if (with_pattern == 0) return bits;
  const auto address = reinterpret_cast<std::uint64_t>(locked.lock);
  const auto caller = reinterpret_cast<std::uint64_t>(locked.caller);
  if (std::size_t(locked.type) < kLockTypes) bits |= by_type[std::size_t(locked.type)];
  for (std::uint32_t i = 0; addresses >> i != 0; ++i)
    if ((addresses >> i & 1) != 0 && by_address[i] == address) bits |= std::uint32_t{1} << i;
  char name[48];
  if (lock_names::copy(locked.lock, name)) bits |= by_name(name);
  if (births::name(locked.lock, name)) bits |= by_name(name);
  if (const Module* module = module_of(address)) {
    bits |= module->injections | by_symbol(*module, address, false);
    bits |= by_offset(*module->map.load(std::memory_order_relaxed), address);
  }
  if (const Module* module = module_of(caller)) bits |= module->injections;
  if (any_code.load(std::memory_order_relaxed)) bits |= by_callers(locked.caller);
  return bits & at_locks;
}

}  // namespace forkscope::inject
