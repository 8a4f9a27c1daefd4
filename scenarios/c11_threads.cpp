// Scenario c11-threads: C11's mtx_lock and cnd_wait after fork.
//
// Cause: the same as with POSIX threads, through calls that glibc implements on their own: whoever
// watches pthread_mutex_lock does not see them.
//
//   queue-0: mtx_lock(queue_lock) ................... mtx_unlock
//   main:                           fork
//   worker (a copy of main alone):  mtx_lock(queue_lock)  for ever
//
// With fork-cnd the lock is free; the worker waits for a job that only queue-0 would finish.
#include <threads.h>

#include "scenarios/support/pause.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "c11-threads",
    .title = "fork while a C11 thread holds a mtx_t, or is waited for with cnd_wait",
    .cause =
        "A thread made by thrd_create holds a mtx_t at the fork, or is the one that would "
        "signal a cnd_t. The child inherits both and not the thread, and waits for ever.",
    .mechanism = "The thread stops, with or without the lock, until the worker has been started.",
    .cure =
        "C11 has no fork handlers: use pthread_atfork around mtx_lock and mtx_unlock, or start "
        "workers with posix_spawn.",
    .source = "scenarios/c11_threads.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "forked while a thread holds the mtx_t; the worker locks"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        waits_beside_a_lock("fork-cnd", "nothing is held; the worker waits for the lost thread"),
        lucky("fork-lucky", "the thread has unlocked before the fork, and lives on")
            .as_timing_of("fork"),
    }};

mtx_t queue_lock;
cnd_t job_done;
int jobs_left = 1;  // guarded by queue_lock

/// A C11 thread that comes to a pause with or without the lock.
class QueueThread {
 public:
  explicit QueueThread(bool locks) : locks_(locks) {
    if (thrd_create(&thread_, body, this) != thrd_success)
      throw std::runtime_error("cannot start a thread");
    pause_.await();
  }
  QueueThread(const QueueThread&) = delete;
  QueueThread& operator=(const QueueThread&) = delete;
  ~QueueThread() {
    pause_.let_go();
    thrd_join(thread_, nullptr);
  }

 private:
  static int body(void* argument) {
    auto& self = *static_cast<QueueThread*>(argument);
    mtx_lock(&queue_lock);
    if (!self.locks_) mtx_unlock(&queue_lock);
    self.pause_.here();
    if (self.locks_) mtx_unlock(&queue_lock);
    cnd_broadcast(&job_done);  // as it would once it had looked at the jobs
    return 0;
  }

  const bool locks_;
  Pause pause_;
  thrd_t thread_;
};

[[gnu::noinline]] int look_at_queue() {
  mtx_lock(&queue_lock);
  const int left = jobs_left;
  mtx_unlock(&queue_lock);
  return left - 1;
}

[[gnu::noinline]] int wait_for_jobs() {
  mtx_lock(&queue_lock);
  while (jobs_left > 0) cnd_wait(&job_done, &queue_lock);
  return mtx_unlock(&queue_lock);
}

Worker start(const std::string& method) {
  QueueThread thread(method == "fork" || method == "spawn");
  if (method == "spawn") return spawn_worker("queue");
  return fork_worker(method == "fork-cnd" ? wait_for_jobs : look_at_queue);
}

int main(int argc, char** argv) {
  mtx_init(&queue_lock, mtx_plain);
  cnd_init(&job_done);
  return run_program(argc, argv, kDescription, one_by_one(start, look_at_queue));
}
