// A parallel region of libgomp, a fork, and another region in the child, which waits for threads of
// the first that were not copied; with the argument "late" the parent has had none before. Ends with
// 10 when the child was killed, else with the child's status.
#include <omp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int region(void) {
  int sum = 0;
#pragma omp parallel num_threads(3) reduction(+ : sum)
  sum += omp_get_thread_num();
  return sum;
}

int main(int argc, char** argv) {
  const int late = argc > 1 && strcmp(argv[1], "late") == 0;
  if (!late && region() != 3) return 1;
  const pid_t child = fork();
  if (child == 0) _exit(region() == 3 ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 10 : WEXITSTATUS(status);
}
