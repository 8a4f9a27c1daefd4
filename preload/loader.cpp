// What loader.S calls before it jumps to the loader's dlopen or dlmopen.
#include <dlfcn.h>

#include <cerrno>

#include "detector/tracker/loader_state.hpp"
#include "detector/tracker/unsafe_calls.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;

extern "C" {
[[gnu::visibility("hidden")]] constinit decltype(&::dlopen) forkscope_real_dlopen = nullptr;
[[gnu::visibility("hidden")]] constinit decltype(&::dlmopen) forkscope_real_dlmopen = nullptr;
}

namespace {

void before(record::Call call, const void* caller) {
  int error = errno;
  if (ThreadRecord* thread = observed(call, caller)) {
    const bool told = process.generation > 0 && loader_state::meet(*thread, call, caller);
    loader_state::note_call(*thread, caller);
    if (!told)
      unsafe_calls::note(
          *thread,
          call == record::Call::kDlopen ? record::UnsafeCall::dlopen : record::UnsafeCall::dlmopen,
          caller);
  }
  errno = error;
}

}  // namespace

extern "C" [[gnu::visibility("hidden")]] void forkscope_before_dlopen(const void* caller) noexcept {
  forkscope_real_dlopen = real().dlopen;
  before(record::Call::kDlopen, caller);
}

extern "C" [[gnu::visibility("hidden")]] void forkscope_before_dlmopen(
    const void* caller) noexcept {
  forkscope_real_dlmopen = real().dlmopen;
  before(record::Call::kDlmopen, caller);
}
