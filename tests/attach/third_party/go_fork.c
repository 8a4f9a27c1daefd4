/* A C program that uses a library written in Go, forks, and uses it again. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern int Work(int count);

int main(void) {
  Work(8);
  if (fork() == 0) {
    dprintf(1, "target %d\n", (int)getpid());
    Work(8);
    dprintf(1, "done\n");
    _exit(0);
  }
  wait(NULL);
}
