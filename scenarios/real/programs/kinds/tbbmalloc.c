/* tbbmalloc, while another thread is making its memory: tbbmalloc memory held|free. That thread stays
 * where the library maps memory, inside its spin lock. */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kinds.h"

void* scalable_malloc(size_t size);

static __thread int stays;

void* mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  if (stays) {
    stays = 0;
    inside();
    wait_for_events();
  }
  return (void*)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

static void allocate(void) {
  if (!scalable_malloc(100)) abort();
}

static void allocate_and_stay(void) {
  stays = 1;
  allocate();
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return run_lock(argv[2], allocate_and_stay, allocate);
}
