// The session's table of call sites (record::UnsafeSites), shared by all its processes: which child
// is the first to come by, and how many came after. Lock-free, async-signal-safe, fork-safe.
#pragma once

#include "detector/record/unsafe_calls.hpp"

namespace forkscope::unsafe_sites {

struct Claim {
  record::UnsafeSite* site = nullptr;  ///< null: the table is full, or there is no session
  bool first = false;                  ///< nobody was here before: write the finding
};

/// Counts the calling process. The site is the same in every process that runs the same program,
/// wherever it was loaded.
Claim claim(record::UnsafeCall call, const void* caller);
/// The same for whatever key_of() gave, or what was made of it.
Claim claim(std::uint64_t key);
/// Of `what` at a place; the same wherever its module was loaded. Never 0.
std::uint64_t key_of(std::uint64_t what, const void* address);

/// Whether `address` lies in libc or the loader.
bool is_in_libc(const void* address);

}  // namespace forkscope::unsafe_sites
