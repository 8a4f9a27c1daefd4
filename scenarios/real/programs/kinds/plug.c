/* Half of reuse.c: a plugin with a lock of its own, built twice under two names. */
#include <pthread.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

pthread_mutex_t JOIN(PLUG, _lock) = PTHREAD_MUTEX_INITIALIZER;

void take(void) { pthread_mutex_lock(&JOIN(PLUG, _lock)); }
void give(void) { pthread_mutex_unlock(&JOIN(PLUG, _lock)); }
