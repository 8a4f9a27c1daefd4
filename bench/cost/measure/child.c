/* What the measured parents execute: says that it is in main(), reads its first task, says that it
 * is ready, does the task, and ends. Linked with libc only, as small programs are.
 *
 *   cost_child PAGE_FD TASK_FD [padding...]
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/cost/measure/page.h"

int main(int argc, char** argv) {
  const int64_t in_main = now_ns();
  if (argc < 3) return 2;
  struct child_page* page =
      mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
  if (page == MAP_FAILED) return 3;
  char task;
  if (read(atoi(argv[2]), &task, 1) != 1) return 4;
  page->in_main = in_main;
  page->ready = now_ns();
  burn(page->task_ns);
  return 0;
}
