// The table itself, and what descriptor_noted.S calls.
#include "preload/descriptor_next.hpp"

#include <dlfcn.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "detector/tracker/shared_descriptors.hpp"

using namespace forkscope;
using record::DescriptorCall;

extern "C" [[gnu::visibility("hidden")]] void* forkscope_descriptor_next[];

namespace {

void look_up(std::size_t call) {
  // All of them are in every glibc that this library runs with.
  void* found = dlsym(RTLD_NEXT, record::kDescriptorCalls[call].name);
  forkscope_descriptor_next[call] = found != nullptr ? found : reinterpret_cast<void*>(&abort);
}

}  // namespace

namespace forkscope {

void look_up_next_of_descriptors() {
  for (std::size_t call = 1; call < record::kDescriptorCallCount; ++call) look_up(call);
}

}  // namespace forkscope

extern "C" [[gnu::visibility("hidden")]] void forkscope_descriptor_look_up(std::uint32_t call, int,
                                                                           const void*) noexcept {
  int error = errno;
  look_up(call);
  errno = error;
}

extern "C" [[gnu::visibility("hidden")]] void forkscope_descriptor_noted(
    std::uint32_t call, int descriptor, const void* caller) noexcept {
  shared_descriptors::used(DescriptorCall(call), descriptor, caller);
}
