// The table itself, and what unsafe_noted.S calls.
#include "preload/unsafe_next.hpp"

#include <dlfcn.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "detector/tracker/inject.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/unsafe_calls.hpp"

using namespace forkscope;
using record::UnsafeCall;

namespace forkscope {

void look_up_next(UnsafeCall call) {
  // All of them are in every glibc that this library runs with; dlsym allocates only where it
  // fails, and would come back here.
  void* found = dlsym(RTLD_NEXT, record::facts_of(call).name);
  forkscope_next[std::size_t(call)] = found != nullptr ? found : reinterpret_cast<void*>(&abort);
}

void look_up_next() {
  for (std::size_t call = 1; call < record::kUnsafeCallCount; ++call)
    if (record::kUnsafeCalls[call].use != record::LibcUse::hooked) look_up_next(UnsafeCall(call));
}

}  // namespace forkscope

extern "C" [[gnu::visibility("hidden")]] void forkscope_look_up(std::uint32_t call,
                                                                const void*) noexcept {
  int error = errno;
  look_up_next(UnsafeCall(call));
  errno = error;
}

extern "C" [[gnu::visibility("hidden")]] void forkscope_noted(std::uint32_t call,
                                                              const void* caller) noexcept {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr) return;
  unsafe_calls::note(*thread, UnsafeCall(call), caller, forkscope_next[call]);
  if (record::facts_of(UnsafeCall(call)).family == record::LibcFamily::kMemory)
    inject::inside(*thread, caller);
}
