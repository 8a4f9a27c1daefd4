/* host PLUGIN ROUNDS FLAGS: loads plugin.c, works with it, unloads it and forks; again and again.
   FLAGS: d RTLD_DEEPBIND, h a lock of the plugin is held when it is unloaded, k it stays loaded. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fork_and_wait(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

int main(int argc, char** argv) {
  if (argc != 4) return 90;
  int flags = RTLD_NOW | (strchr(argv[3], 'd') ? RTLD_DEEPBIND : 0);
  for (int round = atoi(argv[2]); round > 0; --round) {
    void* plugin = dlopen(argv[1], flags);
    if (plugin == NULL) {
      printf("%s\n", dlerror());
      return 91;
    }
    int (*work)(void) = (int (*)(void))dlsym(plugin, "plugin_work");
    void (*hold)(void) = (void (*)(void))dlsym(plugin, "plugin_hold");
    printf("host: work gave %d\n", work());
    if (strchr(argv[3], 'h')) hold();
    if (!strchr(argv[3], 'k')) dlclose(plugin);
    printf("host: fork gave %d\n", fork_and_wait());
    fflush(stdout);
  }
  return 0;
}
