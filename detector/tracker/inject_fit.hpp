// Whether a thread is at a place where the program itself could fork: what fork:probe asks before
// it does so on its own. Async-signal-safe, thread-safe.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope::inject {

/// `thread`, the calling one, is about to wait for `lock` in a call that returns to `caller`.
bool fit_to_fork(const ThreadRecord& thread, const void* lock, const void* caller);

}  // namespace forkscope::inject
