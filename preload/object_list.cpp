// dl_iterate_phdr: shows this library last, so that a program finds its own first library first, as
// it does alone.
//
// AddressSanitizer's shared runtime (asan_linux.cpp, AsanCheckDynamicRTPrereqs) walks this list
// when it starts and ends the program unless it is the first library itself, even if what was
// loaded before it leaves alone what it replaces, as this library does. Its leak check walks the
// list in a process that shares the program's memory and thread pointer while all threads are
// stopped: nothing is recorded here, nothing written but stack. Thread- and fork-safe as libc's own
// function is (but that the thread is inside: tracker/inside.hpp, balanced); what is shown last is
// shown without the loader's lock, but this library is never unloaded.
#include <link.h>

#include <cstring>

#include "preload/inside_call.hpp"
#include "preload/real.hpp"

extern "C"
    [[gnu::visibility("hidden")]] const char __ehdr_start[];  // of the linker: our first byte

namespace {

using Show = int (*)(dl_phdr_info*, std::size_t, void*);

struct Walk {
  Show show;
  void* data;
  dl_phdr_info own;
  std::size_t own_size;  ///< 0 until we were met
};

int pass_over_own(dl_phdr_info* object, std::size_t size, void* walking) {
  auto& walk = *static_cast<Walk*>(walking);
  if (object->dlpi_addr != reinterpret_cast<std::uintptr_t>(__ehdr_start)) {
    if (forkscope::ThreadRecord* thread = forkscope::detail::self)
      forkscope::inject::inside(*thread, nullptr);
    return walk.show(object, size, walk.data);
  }
  walk.own_size = size < sizeof walk.own ? size : sizeof walk.own;
  std::memcpy(&walk.own, object, walk.own_size);
  return 0;
}

}  // namespace

FORKSCOPE_EXPORT int dl_iterate_phdr(Show show, void* data) {
  Walk walk{show, data, {}, 0};
  FORKSCOPE_INSIDE(dl_iterate_phdr);
  int result = forkscope::real().dl_iterate_phdr(pass_over_own, &walk);
  return result == 0 && walk.own_size > 0 ? show(&walk.own, walk.own_size, data) : result;
}
