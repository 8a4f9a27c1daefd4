#pragma once

namespace forkscope {

/// Registers the tracker's at-fork handlers, at the first call. Thread-safe.
void register_atfork_handlers();

}  // namespace forkscope
