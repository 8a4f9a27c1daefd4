// Scenario undrained-queue: a forked child fills a queue that no thread empties any more.
//
// Cause: a bounded queue has a thread that takes from it: of metrics, of log lines, of work. The
// child inherits the queue and not that thread. Everything works until the queue is full; then the
// child waits for room. The hang comes long after the fork, in a place that has nothing to do with
// it, which makes this the hardest of its kind to explain.
//
//   sender-0: pop > pop > waits for more: queue empty, nothing locked
//   main:                                            fork
//   worker (a copy of main alone):  push, push, push, push > full: waits for room  for ever
#include <pthread.h>

#include <optional>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/pause.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

#include <thread>

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "undrained-queue",
    .title = "fork, and fill a bounded queue whose consumer was not copied",
    .cause =
        "A thread of the parent empties a bounded queue. The child inherits the queue and not "
        "the thread, goes on putting things in, and waits for ever when it is full, which may "
        "be hours after the fork.",
    .mechanism =
        "The consumer sleeps at the fork and the queue is empty: nothing is locked. The worker "
        "puts in one more than there is room for.",
    .cure =
        "Start the consumer anew in the child (in the child handler of pthread_atfork, or at the "
        "first use when getpid() has changed), with a queue of its own; or start children with "
        "posix_spawn.",
    .source = "scenarios/undrained_queue.cpp",
    .methods = {
        waits_beside_a_lock("fork", "the worker fills the queue that it inherited"),
        silent("spawn", "the worker is a fresh image with a consumer of its own"),
        silent("fork-own-consumer", "control: the worker makes a queue and a consumer of its own"),
    }};

constexpr int kRoom = 4;

/// Of numbers; only how many there are matters here.
class Queue {
 public:
  void push() {
    pthread_mutex_lock(&lock_);
    while (count_ == kRoom) pthread_cond_wait(&has_room_, &lock_);
    ++count_;
    pthread_cond_signal(&has_items_);
    pthread_mutex_unlock(&lock_);
  }
  /// False when the queue is closed and empty.
  bool pop() {
    pthread_mutex_lock(&lock_);
    while (count_ == 0 && !closed_) pthread_cond_wait(&has_items_, &lock_);
    const bool got = count_ > 0;
    if (got) --count_;
    pthread_cond_signal(&has_room_);
    pthread_mutex_unlock(&lock_);
    return got;
  }
  void close() {
    pthread_mutex_lock(&lock_);
    closed_ = true;
    pthread_cond_broadcast(&has_items_);
    pthread_mutex_unlock(&lock_);
  }
  const pthread_cond_t& where_the_consumer_sleeps() const { return has_items_; }

 private:
  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t has_items_ = PTHREAD_COND_INITIALIZER, has_room_ = PTHREAD_COND_INITIALIZER;
  int count_ = 0;        // guarded by lock_
  bool closed_ = false;  // guarded by lock_
};

/// The thread that empties a queue; ends, and is joined, when the queue is closed.
class Consumer {
 public:
  explicit Consumer(Queue& queue)
      : queue_(queue), thread_([this] {
          pthread_setname_np(pthread_self(), "sender-0");
          tid_ = gettid();
          begins_.open();
          while (queue_.pop()) {
          }
        }) {
    begins_.wait();
    wait_until_blocked_on(tid_, queue_.where_the_consumer_sleeps());
  }
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer() {
    queue_.close();
    thread_.join();
  }

 private:
  Queue& queue_;
  Gate begins_;
  pid_t tid_ = 0;
  std::thread thread_;
};

[[gnu::noinline]] int send_metrics(Queue& queue) {
  for (int sent = 0; sent <= kRoom; ++sent) queue.push();
  return 0;
}

int send_with_own_consumer() {
  Queue own;
  const Consumer consumer(own);
  return send_metrics(own);
}

Worker start(const std::string& method) {
  if (method == "spawn") return spawn_worker("metrics");
  static Queue metrics;
  static Consumer sender(metrics);
  return method == "fork" ? fork_worker([] { return send_metrics(metrics); })
                          : fork_worker(send_with_own_consumer);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, send_with_own_consumer));
}
