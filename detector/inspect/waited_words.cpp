#include "detector/inspect/waited_words.hpp"

#include <algorithm>
#include <set>

#include "detector/inspect/queued_on.hpp"
#include "detector/verdict/outside/waits.hpp"

namespace forkscope {

void copy_waited_words(ProcessEvidence& process, ProcessMemory& memory) {
  std::set<std::uint64_t> seen;
  for (ThreadEvidence& thread : process.threads) {
    const Wait wait = wait_of(thread, process.abi);
    if (wait.futex) thread.queued_on = abseil_lock(memory, process, thread, *wait.futex);
    if (!wait.futex || !seen.insert(wait.futex->address).second) continue;
    const std::uint64_t address = wait.futex->address;
    // The mapping bounds the copy: a lock may be the first or the last thing in it.
    auto mapping = std::find_if(process.mappings.begin(), process.mappings.end(),
                                [&](const Mapping& m) { return m.start <= address && address < m.end; });
    if (mapping == process.mappings.end()) continue;
    MemoryBytes bytes;
    bytes.address = address - std::min(kBytesBefore, address - mapping->start);
    const std::uint64_t end = address + std::min(kBytesAfter, mapping->end - address);
    bytes.bytes.resize(end - bytes.address);
    if (memory.read(bytes.address, bytes.bytes)) process.memory.push_back(std::move(bytes));
  }
}

}  // namespace forkscope
