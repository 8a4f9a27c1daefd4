/* starter spawn|fork|system PROGRAM ARGS...: starts the program, with an empty environment but for
   "system", and exits with its status. Nothing of its own needs a lock. */
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char** words) {
  char* none[] = {NULL};
  int status = -1;
  if (count < 3) return 90;
  if (strcmp(words[1], "system") == 0) {
    status = system(words[2]);
  } else {
    pid_t child = -1;
    if (strcmp(words[1], "spawn") == 0) {
      if (posix_spawn(&child, words[2], NULL, NULL, words + 2, none) != 0) return 91;
    } else if ((child = fork()) == 0) {
      execve(words[2], words + 2, none);
      _exit(92);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) return 93;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 94;
}
