// Files of /proc that fit into one read: a process, a thread or a setting. Thread-safe.
#pragma once

#include <string>

namespace forkscope {

/// At most 4 KiB of it, in one read, so that it is of one moment. Empty when it cannot be read.
std::string read_small_file(const std::string& path);

}  // namespace forkscope
