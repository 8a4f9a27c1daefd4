// absl::Mutex: absl writer|reader WHERE.
#include <absl/synchronization/mutex.h>

#include "kinds.h"

static absl::Mutex cache_mutex(absl::kConstInit);

static void writer() { cache_mutex.Lock(); }
static void reader() { cache_mutex.ReaderLock(); }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return run_lock(argv[2], !strcmp(argv[1], "reader") ? reader : writer, writer);
}
