// The environment an exec passes on, so that the process tree stays together.
//
// A program may clear or rebuild its environment; the library puts itself and its options back.
// Into a program of another libc or class it does not go: there its name in LD_PRELOAD would be an
// error message or worse. Async-signal-safe and usable in a vfork child: allocates from the
// caller's stack or, when large, from the kernel.
#pragma once

#include <cstddef>

#include "detector/record/record.hpp"

namespace forkscope {

class ExecEnvironment {
 public:
  /// Decides what to pass to a program of which `target` is known. `given` may be null.
  ExecEnvironment(char* const* given, record::NotObserved target);
  /// Bytes of scratch() memory that build() wants; 0 when `given` will do as it is.
  std::size_t scratch_size() const { return scratch_; }
  char* const* build(void* scratch) const;

 private:
  char* const* given_;
  std::size_t count_ = 0;
  const char* preload_ = nullptr;  ///< value of LD_PRELOAD in `given`
  bool strip_ = false;
  std::size_t scratch_ = 0;
};

/// Memory for build(): on the stack when small. A macro-free way to alloca is not to be had.
inline constexpr std::size_t kStackScratch = 32u << 10;
void* large_scratch(std::size_t size);
void free_large_scratch(void* memory, std::size_t size);

}  // namespace forkscope
