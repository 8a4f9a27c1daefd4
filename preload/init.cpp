// The constructor. The library is linked with -z initfirst: it runs before every other object's,
// but also before libc has set `environ`, hence the arguments the loader passes.
#include <cstdlib>
#include <cstring>

#include "detector/tracker/births.hpp"
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

namespace forkscope {

namespace {

/// Whether somebody asks for locks by who made them.
bool births_matter() {
  bool asked = process.options.learn;
  for (std::size_t i = 0; i < process.options.injections; ++i)
    asked = asked || std::strncmp(process.options.inject[i].lock, "born:", 5) == 0;
  return asked;
}

[[gnu::constructor]] void start(int argc, char** argv, char** envp) {
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
