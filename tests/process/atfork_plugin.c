/* At-fork handlers of an object that dlclose() takes away. */
#include <pthread.h>

extern void plugin_ran(int phase) __attribute__((weak));
static void prepare(void) { if (plugin_ran) plugin_ran(0); }
static void parent(void) { if (plugin_ran) plugin_ran(1); }
static void child(void) { if (plugin_ran) plugin_ran(2); }

__attribute__((constructor)) static void start(void) { pthread_atfork(prepare, parent, child); }
