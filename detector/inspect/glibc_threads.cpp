#include "detector/inspect/glibc_threads.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "detector/inspect/exported_symbol.hpp"
#include "detector/inspect/wrapped_start.hpp"
#include "detector/record/module_kind.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostThreads = 100'000;
/// EXITING_BITMASK and TERMINATED_BITMASK of nptl/descr.h.
constexpr std::uint32_t kEnded = 0x10 | 0x20;
/// CANCELSTATE, CANCELTYPE, CANCELED, EXITING, TERMINATED, SETXID: what the word may hold at all.
constexpr std::uint32_t kKnownBits = 0x7f;

template <class Predicate>
const ModuleRecord* find_module(const ProcessEvidence& process, Predicate is_it) {
  const auto& modules = process.modules;
  const auto found = std::find_if(modules.begin(), modules.end(), [&](const ModuleRecord& module) {
    return is_it(module.path);
  });
  return found == modules.end() ? nullptr : &*found;
}

/// Offsets of fields and lists, as libc describes them to debuggers: bits, elements, byte offset.
class Description {
 public:
  Description(ProcessMemory& memory, const ModuleRecord& libc) : memory_(memory), libc_(memory, libc) {}

  std::optional<std::uint64_t> offset(const char* field) {
    const auto address = libc_.find(std::string("_thread_db_") + field);
    const auto offset = address ? memory_.get<std::uint32_t>(*address + 8) : std::nullopt;
    if (!offset || *offset > (1u << 20)) return std::nullopt;
    return *offset;
  }

 private:
  ProcessMemory& memory_;
  ExportedSymbols libc_;
};

struct Layout {
  std::uint64_t used, user, cache;  ///< heads of the lists
  std::uint64_t list, tid, cancelling, start;  ///< fields of struct pthread
};

std::optional<Layout> layout_of(ProcessMemory& memory, const ProcessEvidence& process) {
  const ModuleRecord* libc = find_module(
      process, [](std::string_view path) { return is_library(path, "libc") && !is_musl(path); });
  const ModuleRecord* loader = find_module(process, [](std::string_view path) {
    return module_kind(path) == ModuleKind::kLoader && !is_musl(path);
  });
  if (libc == nullptr || loader == nullptr) return std::nullopt;
  const auto global = ExportedSymbols(memory, *loader).find("_rtld_global");
  Description description(memory, *libc);
  const auto used = description.offset("rtld_global__dl_stack_used");
  const auto user = description.offset("rtld_global__dl_stack_user");
  const auto list = description.offset("pthread_list");
  const auto tid = description.offset("pthread_tid");
  const auto cancelling = description.offset("pthread_cancelhandling");
  const auto start = description.offset("pthread_start_routine");
  if (!global || !used || !user || !list || !tid || !cancelling || !start) return std::nullopt;
  // sysdeps/generic/ldsodefs.h: the list of stacks to be used again follows the other two.
  if (*user != *used + 16) return std::nullopt;
  return Layout{*global + *used, *global + *user, *global + *user + 16,
                *list, *tid, *cancelling, *start};
}

struct Descriptor {
  std::uint64_t tid_address;
  std::int32_t tid;
  std::uint32_t cancelling;
  std::uint64_t start, argument;
};

/// The descriptors of one list; nothing when it is no list, or being changed.
std::optional<std::vector<Descriptor>> read_list(ProcessMemory& memory, const Layout& layout,
                                                 std::uint64_t head) {
  std::vector<Descriptor> found;
  std::uint64_t previous = head;
  auto next = memory.get<std::uint64_t>(head);
  while (next && *next != head) {
    const auto back = memory.get<std::uint64_t>(*next + 8);
    const std::uint64_t descriptor = *next - layout.list;
    const auto tid = memory.get<std::int32_t>(descriptor + layout.tid);
    const auto cancelling = memory.get<std::uint32_t>(descriptor + layout.cancelling);
    const auto start = memory.get<std::uint64_t>(descriptor + layout.start);
    // nptl/descr.h: the argument follows the routine.
    const auto argument = memory.get<std::uint64_t>(descriptor + layout.start + 8);
    if (back != previous || !tid || !cancelling || !start || !argument || found.size() >= kMostThreads ||
        (*cancelling & ~kKnownBits) != 0) {
      return std::nullopt;
    }
    found.push_back({descriptor + layout.tid, *tid, *cancelling, *start, *argument});
    previous = *next;
    next = memory.get<std::uint64_t>(*next);
  }
  if (!next) return std::nullopt;
  return found;
}

}  // namespace

std::optional<GlibcThreads> glibc_threads(ProcessMemory& memory, const ProcessEvidence& process) {
  const auto layout = layout_of(memory, process);
  if (!layout) return std::nullopt;
  GlibcThreads threads;
  const auto lives = [&](std::int32_t own_tid) {
    return std::any_of(process.threads.begin(), process.threads.end(),
                       [&](const ThreadEvidence& thread) { return thread.own_tid == own_tid; });
  };
  const auto start_of = [&](const Descriptor& thread) {
    return wrapped_start(memory, process, thread.start, thread.argument);
  };
  const auto cached = read_list(memory, *layout, layout->cache);
  if (!cached) return std::nullopt;
  for (const Descriptor& thread : *cached) {
    threads.ended = threads.ended || (thread.cancelling & kEnded) != 0;
    if (thread.tid == 0 && (thread.cancelling & kEnded) == 0 && thread.start != 0)
      threads.left.push_back({0, start_of(thread), thread.tid_address - layout->tid});
  }
  for (const std::uint64_t head : {layout->used, layout->user}) {
    const auto list = read_list(memory, *layout, head);
    if (!list) return std::nullopt;
    for (const Descriptor& thread : *list) {
      if (thread.tid == process.own_pid) threads.first_tid_address = thread.tid_address;
      // The initial thread has no start routine; its descriptor names the parent's by then.
      if (thread.tid > 0 && thread.start != 0 && (thread.cancelling & kEnded) == 0 &&
          !lives(thread.tid)) {
        threads.left.push_back({thread.tid, start_of(thread), thread.tid_address - layout->tid});
      }
    }
  }
  return threads;
}

}  // namespace forkscope
