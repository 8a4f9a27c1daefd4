#include <link.h>

#include <atomic>
#include <cstddef>
#include <cstring>

#include "detector/tracker/modules.hpp"
#include "detector/tracker/process.hpp"

namespace forkscope {

namespace {

/// Objects already written down. Private memory: what a child notes is its own.
/// Two threads may note the same object twice; the reader does not mind.
struct Noted {
  std::atomic<std::uint64_t> start;
  std::atomic<std::uint64_t> bias;
};
constexpr std::uint32_t kNoted = 256;
constinit Noted noted[kNoted] = {};
constinit std::atomic<std::uint32_t> noted_count{0};

bool known(std::uint64_t start, std::uint64_t bias) {
  std::uint32_t count = noted_count.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < count && i < kNoted; ++i)
    if (noted[i].start.load(std::memory_order_relaxed) == start &&
        noted[i].bias.load(std::memory_order_relaxed) == bias)
      return true;
  return false;
}

void remember(std::uint64_t start, std::uint64_t bias) {
  std::uint32_t slot = noted_count.load(std::memory_order_relaxed);
  if (slot >= kNoted) return;  // written again each time from here on
  noted[slot].start.store(start, std::memory_order_relaxed);
  noted[slot].bias.store(bias, std::memory_order_relaxed);
  noted_count.store(slot + 1, std::memory_order_release);
}

}  // namespace

std::uint64_t note_module(std::uint64_t address) {
  dl_find_object found{};
  if (address == 0 || _dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return 0;
  auto start = reinterpret_cast<std::uint64_t>(found.dlfo_map_start);
  std::uint64_t bias = found.dlfo_link_map->l_addr;
  if (!process.arena.attached() || known(start, bias)) return start;
  const char* path = found.dlfo_link_map->l_name;
  std::size_t length = path != nullptr ? std::strlen(path) : 0;
  record::Module module{start, reinterpret_cast<std::uint64_t>(found.dlfo_map_end), bias,
                        std::uint32_t(length), 0};
  if (process.append_with_text(record::Type::kModule, module, path, length)) remember(start, bias);
  return start;
}

void note_modules(const std::uint64_t* addresses, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) note_module(addresses[i]);
}

}  // namespace forkscope
