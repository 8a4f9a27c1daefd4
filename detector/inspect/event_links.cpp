#include "detector/inspect/event_links.hpp"

#include <algorithm>

#include "detector/inspect/code_references.hpp"
#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/memory_map.hpp"
#include "detector/verdict/outside/thread_view.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostThreads = 16;
constexpr int kCalls = 3;
/// From what waits to the start of the variable it is in, where that has a name, and where it has none.
constexpr std::uint64_t kMostVariable = 1024, kNear = 256;

class Search {
 public:
  Search(ProcessMemory& memory, const ProcessEvidence& process, Namer& namer)
      : process_(process), namer_(namer), code_(memory) {}

  bool is_variable(std::uint64_t address) const {
    const ModuleRecord* module = module_at(process_, address);
    return module != nullptr && !is_libc_module(module->path);
  }

  /// Whether the code that the thread is in may refer to what lies at `address`.
  bool may_cause(const ThreadEvidence& thread, std::uint64_t address) {
    if (!thread.stack_complete || !thread.call) return true;
    std::vector<std::uint64_t> running;
    for (const Frame& frame : thread.stack) running.push_back(frame.address);
    std::vector<std::uint64_t> places;
    for (const Frame& frame : thread.stack) {
      if (frame.inlined || is_libc_module(frame.module)) continue;
      const std::uint64_t pc = frame.address - 1;
      const ModuleRecord* module = module_at(process_, pc);
      if (module == nullptr || code_.calls_by_pointer(pc, *module, kCalls, running)) return true;
      places.push_back(pc);
    }
    code_.start_over();  // of another thread
    bool refers = false;
    for (const std::uint64_t pc : places)
      code_.look(pc, *module_at(process_, pc), kCalls, [&](std::uint64_t seen) {
        refers = refers || is_of_variable(seen, address);
      });
    return refers;
  }

 private:
  /// "pool" for "pool.done" and "pool[2].done+0x8"; empty without a name.
  std::string variable_at(std::uint64_t address) {
    LockInfo place;
    place.address = address;
    namer_.data(place, process_.modules);
    return place.symbol.substr(0, place.symbol.find_first_of("[+."));
  }

  bool is_of_variable(std::uint64_t seen, std::uint64_t address) {
    const std::uint64_t distance = seen > address ? seen - address : address - seen;
    if (distance >= kMostVariable) return false;
    const std::string variable = variable_at(address);
    return variable.empty() ? distance < kNear : seen % 4 == 0 && variable_at(seen) == variable;
  }

  const ProcessEvidence& process_;
  Namer& namer_;
  CodeReferences code_;
};

}  // namespace

std::vector<std::int32_t> unserved_waits(ProcessMemory& memory, const Evidence& evidence,
                                         Namer& namer) {
  std::vector<std::int32_t> unserved;
  const ProcessEvidence& process = evidence.process;
  if (process.abi != Abi::kX86_64 || process.threads.size() < 2 ||
      process.threads.size() > kMostThreads) {
    return unserved;
  }
  Search search(memory, process, namer);
  for (const ThreadView& view : view_threads(evidence)) {
    const std::uint64_t address = view.wait.futex ? view.wait.futex->address : 0;
    if (!view.closed() || view.is_lock() || !search.is_variable(address)) continue;
    const bool served =
        std::any_of(process.threads.begin(), process.threads.end(), [&](const ThreadEvidence& other) {
          return &other != view.thread && other.state != 'Z' && other.state != 'X' &&
                 search.may_cause(other, address);
        });
    if (!served) unserved.push_back(view.thread->tid);
  }
  return unserved;
}

}  // namespace forkscope
