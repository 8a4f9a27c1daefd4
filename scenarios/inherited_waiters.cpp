// Scenario inherited-waiters: waking or destroying a condition variable hangs in a forked child.
//
// Cause: the copy of the condition variable still counts the parent's waiters. glibc (2.25 and
// later) keeps waiters in two groups; before the older group is reused, broadcast waits until each
// thread in it has said that it is awake (nptl/pthread_cond_common.c), and destroy waits until all
// waiters have left. Threads that were not copied never do.
//
//   wait-0, wait-1: wait in the older group > one signal > one of them leaves
//   wait-2:         waits in the newer group
//   main:                                            fork
//   worker (a copy of main alone):                    broadcast  for ever: one is left in the older
#include <pthread.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/pause.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "inherited-waiters",
    .title = "fork while threads wait on a condition variable, then wake or destroy it",
    .cause =
        "Threads of the parent wait on a condition variable at the fork. The child's copy "
        "still counts them: pthread_cond_broadcast, _signal and _destroy can wait for ever "
        "for those threads to leave. Exit handlers and destructors do this.",
    .mechanism =
        "One of two waiters has been woken and a third has come, so that glibc has waiters "
        "in both of its groups.",
    .cure =
        "Initialise condition variables anew in the child handler of pthread_atfork, and end "
        "children with _exit, which runs no destructors.",
    .source = "scenarios/inherited_waiters.cpp",
    .methods = {
        hangs("fork-broadcast", "lost-thread", "the worker wakes all who wait"),
        hangs("fork-destroy", "lost-thread", "the worker destroys the condition variable"),
        silent("fork-own-condition", "control: the worker uses a condition variable of its own"),
    }};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t tickets_changed = PTHREAD_COND_INITIALIZER;
int tickets = 0;  // guarded by lock

/// Threads that each wait for a ticket; they get it at the end, at the latest.
class Waiters {
 public:
  Waiters() = default;
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;
  ~Waiters() {
    pthread_mutex_lock(&lock);
    tickets = static_cast<int>(threads_.size());
    pthread_cond_broadcast(&tickets_changed);
    pthread_mutex_unlock(&lock);
    for (std::thread& thread : threads_) thread.join();
    tickets = 0;
  }

  /// Returns when one more thread sleeps in pthread_cond_wait.
  void add() {
    Gate begins;
    pid_t tid = 0;
    threads_.emplace_back([&, name = "wait-" + std::to_string(threads_.size())] {
      pthread_setname_np(pthread_self(), name.c_str());
      tid = gettid();
      begins.open();
      take_ticket();
    });
    begins.wait();
    wait_until_blocked_on(tid, tickets_changed);
  }
  /// Returns when the thread that got it has left.
  void give_ticket() {
    pthread_mutex_lock(&lock);
    ++tickets;
    pthread_cond_signal(&tickets_changed);
    pthread_mutex_unlock(&lock);
    taken_.wait();
  }

 private:
  void take_ticket() {
    pthread_mutex_lock(&lock);
    while (tickets == 0) pthread_cond_wait(&tickets_changed, &lock);
    --tickets;
    pthread_mutex_unlock(&lock);
    taken_.open();
  }

  Gate taken_;
  std::vector<std::thread> threads_;
};

[[gnu::noinline]] int wake_all() { return pthread_cond_broadcast(&tickets_changed); }
[[gnu::noinline]] int destroy() { return pthread_cond_destroy(&tickets_changed); }

int wake_own() {
  pthread_cond_t own = PTHREAD_COND_INITIALIZER;
  pthread_cond_broadcast(&own);
  return pthread_cond_destroy(&own);
}

Worker start(const std::string& method) {
  Waiters waiters;
  waiters.add();
  waiters.add();
  waiters.give_ticket();
  waiters.add();
  return fork_worker(method == "fork-broadcast" ? wake_all
                     : method == "fork-destroy" ? destroy
                                                : wake_own);
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
