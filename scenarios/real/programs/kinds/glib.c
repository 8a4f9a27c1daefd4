/* Locks of GLib, which have no owner word: glib LOCK WHERE. */
#include <glib.h>

#include "kinds.h"

static GMutex cache_mutex;
static GRWLock cache_rwlock;
static GRecMutex cache_rec_mutex;
static gsize cache_once;
static gint cache_bits;

static void mutex(void) { g_mutex_lock(&cache_mutex); }
static void writer(void) { g_rw_lock_writer_lock(&cache_rwlock); }
static void reader(void) { g_rw_lock_reader_lock(&cache_rwlock); }
static void rec(void) { g_rec_mutex_lock(&cache_rec_mutex); }
static void bits(void) { g_bit_lock(&cache_bits, 0); }
/* The holder is in the middle of it: nobody leaves. */
static void once(void) { g_once_init_enter(&cache_once); }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* lock = argv[1];
  Step take = !strcmp(lock, "mutex")    ? mutex
              : !strcmp(lock, "writer") ? writer
              : !strcmp(lock, "reader") ? writer
              : !strcmp(lock, "rec")    ? rec
              : !strcmp(lock, "bits")   ? bits
                                        : once;
  return run_lock(argv[2], !strcmp(lock, "reader") ? reader : take, take);
}
