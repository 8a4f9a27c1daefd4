#include "preload/real.hpp"

#include <dlfcn.h>

#include <cstdlib>

namespace forkscope {

constinit Real real_functions{};
constinit std::atomic<bool> real_resolved{false};
constinit std::atomic<bool> clocklock_is_of_the_same{false};

const link_map* object_of(const void* address) {
  dl_find_object object{};
  return _dl_find_object(const_cast<void*>(address), &object) == 0 ? object.dlfo_link_map : nullptr;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // sigset
void resolve_real() {
// By name alone: libc then gives its default version (the condition variables have a second one, of
// 2002), and another preloaded library its only one, which a look-up by version would pass over.
#define FORKSCOPE_REAL(name) \
  real_functions.name = reinterpret_cast<decltype(&::name)>(dlsym(RTLD_NEXT, #name));
#include "preload/real.def"
#undef FORKSCOPE_REAL
  clocklock_is_of_the_same.store(
      object_of(reinterpret_cast<const void*>(real_functions.pthread_mutex_lock)) ==
          object_of(reinterpret_cast<const void*>(real_functions.pthread_mutex_clocklock)),
      std::memory_order_relaxed);
  real_resolved.store(true, std::memory_order_release);
}
#pragma GCC diagnostic pop

}  // namespace forkscope
