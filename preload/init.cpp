// The constructor. The library is linked with -z initfirst: it runs before every other object's,
// but also before libc has set `environ`, hence the arguments the loader passes.
#include <elf.h>

#include <cstdlib>
#include <cstring>

#include "detector/tracker/births.hpp"
#include "detector/tracker/checkers.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/shared_descriptors.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/atfork.hpp"
#include "preload/descriptor_next.hpp"
#include "preload/exit.hpp"
#include "preload/heap.hpp"
#include "preload/probe.hpp"
#include "preload/real.hpp"
#include "preload/unsafe_next.hpp"

extern "C" const Elf64_Ehdr __ehdr_start [[gnu::visibility("hidden")]];  // ld(1) knows it

namespace forkscope {

namespace {

/// Whether somebody asks for locks by who made them.
bool births_matter() {
  bool asked = process.options.learn;
  for (std::size_t i = 0; i < process.options.injections; ++i)
    asked = asked || std::strncmp(process.options.inject[i].lock, "born:", 5) == 0;
  return asked;
}

/// The library's variables: its writable segment.
void hide_from_checkers() {
  const auto* begin = reinterpret_cast<const char*>(&__ehdr_start);
  auto* segments = reinterpret_cast<const Elf64_Phdr*>(begin + __ehdr_start.e_phoff);
  for (unsigned i = 0; i < __ehdr_start.e_phnum; ++i)
    if (segments[i].p_type == PT_LOAD && (segments[i].p_flags & PF_W) != 0)
      checkers::leave_alone(begin + segments[i].p_vaddr, segments[i].p_memsz);
}

[[gnu::constructor]] void start(int argc, char** argv, char** envp) {
  hide_from_checkers();
  resolve_real();
  look_up_next();
  look_up_next_of_descriptors();
  sys::init_clock();
  init_process(argc, argv, envp);
  shared_descriptors::remember_start();
  const Real& libc = real();
  libc_calls = {libc.pthread_getattr_default_np, libc.pthread_attr_getstacksize,
                libc.pthread_attr_destroy,       libc.pthread_key_create,
                libc.pthread_key_delete,         libc.pthread_setspecific};
  init_registry([]() -> std::int32_t {
    pthread_mutex_t probe = PTHREAD_MUTEX_INITIALIZER;
    real().pthread_mutex_lock(&probe);
    std::int32_t tid = MutexWords(&probe).owner();
    real().pthread_mutex_unlock(&probe);
    return tid;
  });
  if (births_matter()) births::start();
  attach_current_thread();
  register_atfork_handlers();
  history::watches_heap = sees_all_frees();
  warm_up_stack();
  probe_fork::start();
  inject::init(argc, argv);  // then: the unwinder's own first lock is no point
  // First registered, last called: after every handler of the program.
  libc.on_exit([](int status, void*) { note_exit(status); }, nullptr);
}

}  // namespace

}  // namespace forkscope
