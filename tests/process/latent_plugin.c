/* An object with a lock, to be loaded and unloaded. Built twice, alike but for a function's name. */
#include <pthread.h>

pthread_mutex_t plugin_lock = PTHREAD_MUTEX_INITIALIZER;

void PLUGIN_USE(void) {
  pthread_mutex_lock(&plugin_lock);
  pthread_mutex_unlock(&plugin_lock);
}
