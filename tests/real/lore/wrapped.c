/* Calls what wrappers.c does, which is either linked into this program or preloaded. */
#include <dlfcn.h>
#include <stdio.h>

int wrapped_work(void) __attribute__((weak));

int main(void) {
  int (*work)(void) = wrapped_work;
  if (work == NULL) work = (int (*)(void))dlsym(RTLD_DEFAULT, "wrapped_work");
  if (work == NULL) {
    printf("there is nothing to call\n");
    return 90;
  }
  return work();
}
