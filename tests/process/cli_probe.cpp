// A program of known behaviour for the tests of the command: cli_probe MODE [ARGUMENT...].
// It says "ready" on standard output when it is where the test wants it to be.

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int say(const std::string& line) {
  std::string text = line + "\n";
  return write(STDOUT_FILENO, text.data(), text.size()) == ssize_t(text.size()) ? 0 : 1;
}

sigset_t block(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return set;
}

/// Prints its arguments, each ended by NUL.
int arguments(int argc, char** argv) {
  for (int i = 0; i < argc; ++i)
    if (write(STDOUT_FILENO, argv[i], std::strlen(argv[i]) + 1) < 0) return 1;
  return 0;
}

/// Prints the open descriptors but the one it reads them with; to a file, as any may be closed.
int descriptors(const char* file) {
  DIR* folder = opendir("/proc/self/fd");
  std::string list;
  while (dirent* entry = readdir(folder))
    if (entry->d_name[0] != '.' && std::atoi(entry->d_name) != dirfd(folder))
      list += std::string(entry->d_name) + " ";
  closedir(folder);
  FILE* out = std::fopen(file, "w");
  std::fputs(list.c_str(), out);
  return std::fclose(out);
}

/// Prints the signal mask and the ignored signals.
int signal_state() {
  FILE* status = std::fopen("/proc/self/status", "r");
  char line[256];
  while (std::fgets(line, sizeof line, status) != nullptr)
    if (std::strncmp(line, "SigBlk", 6) == 0 || std::strncmp(line, "SigIgn", 6) == 0)
      std::fputs(line, stdout);
  return std::fclose(status);
}

/// Waits for SIGUSR2 or a real-time signal, then says what it got, with its value, and whether a
/// SIGUSR1 came, too. `to_parent`: sends that SIGUSR1 to its parent itself.
int wait_for_signal(bool to_parent) {
  block({SIGUSR1});
  sigset_t wanted = block({SIGUSR2, SIGTERM, SIGRTMIN + 3});
  if (to_parent) kill(getppid(), SIGUSR1);
  say("ready");
  siginfo_t info{};
  int signal = sigwaitinfo(&wanted, &info);
  sigset_t pending;
  sigpending(&pending);
  return say("got " + std::to_string(signal) + " value " +
             std::to_string(info.si_code == SI_QUEUE ? info.si_value.sival_int : 0) + " usr1 " +
             std::to_string(sigismember(&pending, SIGUSR1)));
}

/// Says each SIGINT until a line can be read, and exits with their number.
volatile sig_atomic_t interrupts = 0;
int count_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) {
    interrupts = interrupts + 1;
    if (write(STDOUT_FILENO, "interrupted\n", 12) < 0) _exit(96);
  };
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  say("ready");
  char c;
  while (read(STDIN_FILENO, &c, 1) != 1) {
  }
  return interrupts;
}

/// A child that ignores SIGTERM, as a grandchild of the command; its pid is the first line.
int stubborn_tree() {
  pid_t child = fork();
  if (child == 0) {
    signal(SIGTERM, SIG_IGN);
    say(std::to_string(getpid()));
    while (true) pause();
  }
  while (true) pause();
}

pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_barrier_t taken;

void* holder(void*) {
  pthread_mutex_lock(&table_lock);
  pthread_barrier_wait(&taken);
  while (true) pause();
}

/// The canonical program: a thread holds a lock, the child wants it, the parent waits for the
/// child.
int deadlock() {
  pthread_barrier_init(&taken, nullptr, 2);
  pthread_t thread;
  pthread_create(&thread, nullptr, holder, nullptr);
  pthread_barrier_wait(&taken);
  pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(&table_lock);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 10 : WEXITSTATUS(status);
}

}  // namespace

int main(int argc, char** argv) {
  std::string mode = argc > 1 ? argv[1] : "";
  const char* argument = argc > 2 ? argv[2] : "";
  if (mode == "exit") return std::atoi(argument);
  if (mode == "die") return raise(std::atoi(argument));
  if (mode == "touch") return std::fclose(std::fopen(argument, "w"));
  if (mode == "arguments") return arguments(argc - 2, argv + 2);
  if (mode == "descriptors") return descriptors(argument);
  if (mode == "signal-state") return signal_state();
  if (mode == "environment") return say(std::getenv(argument) ? std::getenv(argument) : "(unset)");
  if (mode == "wait-for-signal") return wait_for_signal(false);
  if (mode == "signal-parent") return wait_for_signal(true);
  if (mode == "count-interrupts") return count_interrupts();
  if (mode == "stubborn-tree") return stubborn_tree();
  if (mode == "deadlock") return deadlock();
  std::fprintf(stderr, "cli_probe: unknown mode '%s'\n", mode.c_str());
  return 99;
}
