/* many_forks N: forks N times beside a second thread, which waits and holds no lock, and prints after the first tenth, and at
   the end, what the process has: "forks N anonymous KIB shared KIB descriptors N mappings N": its
   own memory, and resident pages of mapped files. What grows with the number of forks shows as a
   difference of the two lines. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_waits = PTHREAD_COND_INITIALIZER, g_never = PTHREAD_COND_INITIALIZER;
static int g_is_there;

static void* stay(void* argument) {
  pthread_mutex_lock(&g_lock);
  g_is_there = 1;
  pthread_cond_signal(&g_waits);
  for (;;) pthread_cond_wait(&g_never, &g_lock);
  return argument;
}

static long lines_or_kib(const char* path, const char* key) {
  char line[512];
  long found = 0;
  FILE* file = fopen(path, "r");
  if (file == NULL) return -1;
  while (fgets(line, sizeof line, file) != NULL) {
    if (key == NULL)
      ++found;
    else if (strncmp(line, key, strlen(key)) == 0)
      found = atol(line + strlen(key));
  }
  fclose(file);
  return found;
}

static void print_size(long forks) {
  DIR* folder = opendir("/proc/self/fd");
  int descriptors = 0;
  if (folder == NULL) exit(90);
  while (readdir(folder) != NULL) ++descriptors;
  closedir(folder);
  printf("forks %ld anonymous %ld shared %ld descriptors %d mappings %ld\n", forks,
         lines_or_kib("/proc/self/status", "RssAnon:"),
         lines_or_kib("/proc/self/status", "RssFile:") +
             lines_or_kib("/proc/self/status", "RssShmem:"),
         descriptors, lines_or_kib("/proc/self/maps", NULL));
  fflush(stdout);
}

int main(int argc, char** argv) {
  long all = argc > 1 ? atol(argv[1]) : 1000;
  pthread_t thread;
  if (pthread_create(&thread, NULL, stay, NULL) != 0) return 91;
  pthread_mutex_lock(&g_lock);
  while (!g_is_there) pthread_cond_wait(&g_waits, &g_lock);
  pthread_mutex_unlock(&g_lock);
  for (long i = 1; i <= all; ++i) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 92;
    if (i == all / 10 || i == all) print_size(i);
  }
  return 0;
}
