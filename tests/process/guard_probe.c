/* A program without the C++ library loads one that needs it, for itself alone (RTLD_LOCAL), as
 * interpreters load their extensions: guard_probe PLUGIN. Prints whether its static was initialised,
 * and whether somebody intercepts that. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  void* plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (plugin == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  int (*initialised)(void) = (int (*)(void))dlsym(plugin, "initialised");
  printf("initialised %d, intercepted %d\n", initialised(),
         dlsym(RTLD_DEFAULT, "__cxa_guard_acquire") != NULL);
  return 0;
}
