/* A plugin is used by a thread and by a child, unloaded, and another one lies where it was: reuse ORDERS.so PRICES.so WHERE.
 * With KINDS_DEEPBIND in the environment the second is loaded with RTLD_DEEPBIND, as PHP loads extensions:
 * its calls of libc go past any preloaded library. */
#include <dlfcn.h>
#include <link.h>

#include "kinds.h"

static Step take, give;

static unsigned long load(const char* path, int flags, void** handle) {
  struct link_map* map;
  *handle = dlopen(path, RTLD_NOW | flags);
  if (!*handle || dlinfo(*handle, RTLD_DI_LINKMAP, &map) != 0) give_up(dlerror());
  take = (Step)(void (*)(void))dlsym(*handle, "take");
  give = (Step)(void (*)(void))dlsym(*handle, "give");
  return map->l_addr;
}

static void* use(void* unused) {
  (void)unused;
  take();
  give();
  inside();
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  void* handle;
  prepare();
  unsigned long first = load(argv[1], 0, &handle);
  pthread_t thread;
  pthread_create(&thread, NULL, use, NULL);
  pthread_join(thread, NULL);
  if (fork() == 0) {
    use(NULL);
    _exit(0);
  }
  wait(NULL);
  dlclose(handle);
  if (load(argv[2], getenv("KINDS_DEEPBIND") ? RTLD_DEEPBIND : 0, &handle) != first) give_up("the second plugin lies elsewhere");
  return run_lock(argv[3], take, take);
}
