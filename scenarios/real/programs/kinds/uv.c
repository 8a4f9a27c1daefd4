/* libuv's thread pool, which its at-fork handler makes anew in the child: healthy. */
#include <uv.h>

#include "kinds.h"

static void work(uv_work_t* unused) { (void)unused; }
static void after(uv_work_t* unused, int status) { (void)unused, (void)status; }

static void use(uv_loop_t* loop) {
  static uv_work_t jobs[64];
  for (int i = 0; i < 64; ++i) uv_queue_work(loop, &jobs[i], work, after);
  uv_run(loop, UV_RUN_DEFAULT);
}

static void child(void) {
  uv_loop_fork(uv_default_loop());
  use(uv_default_loop());
}

int main(void) {
  prepare();
  use(uv_default_loop());
  return fork_and(child);
}
