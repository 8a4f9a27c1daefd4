#include "preload/real.hpp"

#include <dlfcn.h>

#include <cstdlib>

namespace forkscope {

constinit Real real_functions{};
constinit std::atomic<bool> real_resolved{false};

namespace {

void* next(const char* name, const char* version) {
  void* found = version != nullptr ? dlvsym(RTLD_NEXT, name, version) : nullptr;
  return found != nullptr ? found : dlsym(RTLD_NEXT, name);
}

}  // namespace

void resolve_real() {
#define FORKSCOPE_REAL(name, version) \
  real_functions.name = reinterpret_cast<decltype(&::name)>(next(#name, version));
#include "preload/real.def"
#undef FORKSCOPE_REAL
  real_resolved.store(true, std::memory_order_release);
}

}  // namespace forkscope
