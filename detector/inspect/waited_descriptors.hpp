// Who can write to the descriptors that a thread waits for: the threads of its own process, as to an
// eventfd or a pipe of which it has both ends, or others. Reads /proc; stops nothing. Not
// thread-safe.
#pragma once

#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// poll(), select(), epoll_wait(), read() and their kin.
bool waits_for_descriptors(const SystemCall& call);

/// Of the threads that are blocked in one of these.
std::vector<WaitedDescriptors> waited_descriptors(ProcessMemory& memory, const Evidence& evidence);

}  // namespace forkscope
