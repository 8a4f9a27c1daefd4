// The environment an exec passes on, so that the process tree stays together.
//
// A program may clear or rebuild its environment; the library puts itself and its options back.
// Into a program of another libc or class it does not go: there its name in LD_PRELOAD would be an
// error message or worse; nor where a chroot, another mount namespace or lost rights keep it from
// its files, or a sandbox from its system calls. Async-signal-safe and usable in a vfork child: allocates from the
// caller's stack or, when large, from the kernel.
#pragma once

#include <cstddef>

#include "detector/record/record.hpp"

namespace forkscope {

/// What becomes of `path` when this process executes it, as it is now.
record::NotObserved observable(const char* path);

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

/// PATH of the program's environment as execvp(3) reads it, or null.
const char* search_path();

void* large_scratch(std::size_t size);
void free_large_scratch(void* memory, std::size_t size);

/// Gives run(environment) for a program of which `target` is known. Memory for it is on the stack
/// when small (inlined: alloca lasts as long as the caller), else from the kernel; where that has
/// none the program gets what it asked for. errno is what `run` leaves.
template <typename Run>
[[gnu::always_inline]] inline int with_exec_environment(char* const* given,
                                                        record::NotObserved target, Run&& run) {
  constexpr std::size_t kStackScratch = 1u << 10;
  ExecEnvironment environment(given, target);
  const std::size_t size = environment.scratch_size();
  if (size <= kStackScratch)
    return run(environment.build(size > 0 ? __builtin_alloca(size) : nullptr));
  void* scratch = large_scratch(size);
  if (scratch == nullptr) return run(given);
  int result = run(environment.build(scratch));
  free_large_scratch(scratch, size);
  return result;
}

}  // namespace forkscope
