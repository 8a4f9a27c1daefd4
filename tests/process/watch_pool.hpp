// A library with a pool of threads, as other people's libraries have them: code of its own, which
// waits by system calls of its own. Used by watch_probe; not fork-safe, which is the point.
#pragma once

#include <cstdint>
#include <ctime>

namespace work_pool {

/// Starts the worker, and returns when it is about to wait. It is idle for ever.
void start();
/// Until finish_work() was called.
void wait_for_work();
/// The same, in waits of a tenth of a second each.
void wait_for_work_in_rounds();
void spin_for_work();
/// The same without a look at anything, in a loop of one instruction, the function's first.
void spin_at_entry();
void finish_work();
/// Work that takes until then.
std::uint64_t compute(std::time_t end);

}  // namespace work_pool
