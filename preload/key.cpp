// pthread_key_create: the library has a key of its own, to see threads end (registry.cpp). Who
// wants the last one of PTHREAD_KEYS_MAX gets it: from then on ends of threads are not seen, which
// only makes verdicts fewer.
#include "detector/tracker/registry.hpp"
#include "preload/real.hpp"

FORKSCOPE_EXPORT int pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) noexcept {
  int result = forkscope::real().pthread_key_create(key, destructor);
  if (result == EAGAIN && forkscope::give_up_exit_key())
    result = forkscope::real().pthread_key_create(key, destructor);
  return result;
}
