// QMutex and QReadWriteLock: qt mutex|writer|reader WHERE.
#include <QMutex>
#include <QReadWriteLock>

#include "kinds.h"

static QMutex cache_mutex;
static QReadWriteLock cache_lock;

static void take() { cache_mutex.lock(); }
static void writer() { cache_lock.lockForWrite(); }
static void reader() { cache_lock.lockForRead(); }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (!strcmp(argv[1], "mutex")) return run_lock(argv[2], take, take);
  return run_lock(argv[2], !strcmp(argv[1], "reader") ? reader : writer, writer);
}
