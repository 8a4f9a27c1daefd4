// What sweep_test.cpp sweeps: a program that forks while a thread uses locks now and then, and
// hardly ever has one at the fork.
//
//   worker:  setup | begin, round: every lock in turn, poll 20 ms, round, ...
//   main:            await the first round, fork, wait for the child
//   child:                                  takes what its mode says
//
//   sweep_probe               ends
//   sweep_probe FIFO          the same, but if there is a FIFO it writes its PID there, and waits to
//                             be killed
//   sweep_probe objects       worker and child only call dl_iterate_phdr()
//   sweep_probe inverted      at-fork handlers take two locks; the worker has both at the first fork,
//                             having taken them the other way round, and none at the second
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>

namespace {

bool only_objects = false;

[[gnu::noinline]] void walk_objects() {
  dl_iterate_phdr([](dl_phdr_info*, size_t, void*) { return 0; }, nullptr);
}

pthread_mutex_t setup_lock = PTHREAD_MUTEX_INITIALIZER;  // taken before the first round only
pthread_mutex_t orders_lock = PTHREAD_MUTEX_INITIALIZER;  // by the child, too
pthread_mutex_t metrics_lock = PTHREAD_MUTEX_INITIALIZER;  // not by the child
pthread_mutex_t guarded_lock = PTHREAD_MUTEX_INITIALIZER;  // by the child, and by at-fork handlers

struct Session {
  std::mutex lock;
  int uses = 0;
};
std::unique_ptr<Session> session;

[[gnu::noinline]] void use(pthread_mutex_t& lock) {
  pthread_mutex_lock(&lock);
  asm volatile("" ::: "memory");  // so that the call below is no jump
  pthread_mutex_unlock(&lock);
}

[[gnu::noinline]] void use_session() {
  const std::lock_guard guard(session->lock);
  ++session->uses;
}

void lock_guarded() { pthread_mutex_lock(&guarded_lock); }
void unlock_guarded() { pthread_mutex_unlock(&guarded_lock); }

int stop_pipe[2];
sem_t first_round;

void* work(void*) {
  pthread_setname_np(pthread_self(), "worker");
  if (!only_objects) use(setup_lock);
  constexpr int kPause = 20;  // milliseconds
  pollfd stop{stop_pipe[0], POLLIN, 0};
  do {
    if (only_objects) {
      walk_objects();
      sem_post(&first_round);
      continue;
    }
    use(orders_lock);
    use(metrics_lock);
    use(guarded_lock);
    use_session();
    sem_post(&first_round);
  } while (poll(&stop, 1, kPause) == 0);
  return nullptr;
}

[[noreturn]] void child() {
  if (only_objects) {
    walk_objects();
    _exit(0);
  }
  use(orders_lock);
  use(guarded_lock);
  use_session();
  std::printf("child is done\n");
  std::fflush(stdout);
  _exit(0);
}

pthread_mutex_t index_lock = PTHREAD_MUTEX_INITIALIZER;

void lock_index() { pthread_mutex_lock(&index_lock); }
void unlock_index() { pthread_mutex_unlock(&index_lock); }

void* update(void*) {
  constexpr int kPause = 20;  // milliseconds
  pollfd stop{stop_pipe[0], POLLIN, 0};
  do {
    lock_index();
    lock_guarded();
    sem_post(&first_round);
    poll(nullptr, 0, kPause);
    unlock_guarded();
    unlock_index();
  } while (poll(&stop, 1, kPause) == 0);
  return nullptr;
}

int inverted() {
  pthread_atfork(lock_index, unlock_index, unlock_index);
  pthread_atfork(lock_guarded, unlock_guarded, unlock_guarded);
  sem_init(&first_round, 0, 0);
  pthread_t worker;
  if (pipe(stop_pipe) != 0 || pthread_create(&worker, nullptr, update, nullptr) != 0) return 1;
  sem_wait(&first_round);
  for (int i = 0; i < 2; ++i) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0 || waitpid(pid, nullptr, 0) != pid) return 1;
  }
  close(stop_pipe[1]);
  return pthread_join(worker, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "inverted") return inverted();
  only_objects = argc > 1 && std::string(argv[1]) == "objects";
  session = std::make_unique<Session>();
  if (!only_objects) pthread_atfork(lock_guarded, unlock_guarded, unlock_guarded);
  sem_init(&first_round, 0, 0);
  if (pipe(stop_pipe) != 0) return 1;
  pthread_t worker;
  if (pthread_create(&worker, nullptr, work, nullptr) != 0) return 1;
  sem_wait(&first_round);
  const pid_t pid = fork();
  if (pid == 0) child();
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
  if (argc > 1 && access(argv[1], F_OK) == 0) {
    std::ofstream(argv[1]) << getpid() << std::endl;
    for (;;) pause();
  }
  close(stop_pipe[1]);
  pthread_join(worker, nullptr);
  std::printf("parent is done\n");
  return status == 0 ? 0 : 3;
}
