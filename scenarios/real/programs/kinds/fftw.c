/* FFTW's planner, made safe for threads by a lock of its own: fftw planner held|beside|free. The thread
 * that plans stays where it asks for memory: inside the lock. */
#include <fftw3.h>
#include <malloc.h>

#include "kinds.h"

static __thread int stays;

static void stay(void) {
  if (!stays || --stays) return;
  inside();
  wait_for_events();
}

void* memalign(size_t alignment, size_t size) {
  stay();
  void* memory = NULL;
  return posix_memalign(&memory, alignment, size) ? NULL : memory;
}

static void plan(void) {
  fftw_complex* data = calloc(256, sizeof *data);
  fftw_plan_dft_1d(256, data, data, FFTW_FORWARD, FFTW_MEASURE);
}

static void plan_and_stay(void) {
  stays = 40;  /* What it asks for first is before the lock. */
  plan();
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  fftw_init_threads();
  fftw_make_planner_thread_safe();
  return run_lock(argv[2], plan_and_stay, plan);
}
