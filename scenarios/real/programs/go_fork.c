/* A C program that uses a library written in Go, forks, and uses it again: go_fork [exec]. With
 * `exec` the child executes this program anew, for the one use. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern int Work(int count);

int main(int argc, char** argv) {
  if (argc > 2) return Work(8) == 8 ? 0 : 1;
  Work(8);
  if (fork() == 0) {
    dprintf(1, "target %d\n", (int)getpid());
    if (argc == 2) execl("/proc/self/exe", argv[0], "exec", "child", (char*)NULL);
    Work(8);
    dprintf(1, "done\n");
    _exit(0);
  }
  int status = 0;
  wait(&status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
