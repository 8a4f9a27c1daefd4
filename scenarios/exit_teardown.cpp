// Scenario exit-teardown: a forked child hangs in exit(), in the destructor of a static object.
//
// Cause: exit() runs the destructors and atexit handlers that the child has inherited, and those
// put an end to threads that the child never had. A pool that counts its threads out waits for
// good-byes that nobody says. The work is done, the answer sent, and the process stays.
//
//   pool-0, pool-1: sleep until stopped
//   main:                                fork
//   worker (a copy of main alone):       works > exit > ~Pool: stop all, wait until all have left
#include <pthread.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "exit-teardown",
    .title = "fork, and call exit() with static objects that own threads",
    .cause =
        "The child ends with exit(), which destroys the static objects it inherited. One of "
        "them is a pool of threads, and waits for ever for threads that were not copied to "
        "leave. Destructors, atexit handlers and dlclose are all of this kind.",
    .mechanism =
        "The pool's threads sleep at the fork. Its destructor stops them and waits until the "
        "last one has said that it leaves.",
    .cure =
        "End forked children with _exit(), as the children of Python's multiprocessing do; or "
        "let the pool forget its threads in the child handler of pthread_atfork.",
    .source = "scenarios/exit_teardown.cpp",
    .methods = {
        waits_beside_a_lock("fork-exit", "the worker ends with exit()"),
        silent("fork-underscore-exit", "control: the worker ends with _exit()"),
        silent("fork-forget", "control: a child handler leaves the pool behind; exit() is fine"),
        silent("spawn", "the worker is a fresh image, with a pool of its own, and calls exit()"),
    }};

/// Made before the pool, so destroyed after it: says that the worker has come through.
const DoneAtExit done_at_exit;

class Pool {
 public:
  explicit Pool(int size) {
    std::unique_lock lock(mutex_);
    for (; present_ < size; ++present_)
      std::thread([this, number = present_] { run(number); }).detach();
    changed_.wait(lock, [this] { return asleep_ == present_; });
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { wait_until_all_have_left(); }

 private:
  [[gnu::noinline]] void wait_until_all_have_left() {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    changed_.wait(lock, [this] { return present_ == 0; });
  }
  void run(int number) {
    pthread_setname_np(pthread_self(), ("pool-" + std::to_string(number)).c_str());
    std::unique_lock lock(mutex_);
    ++asleep_;
    changed_.notify_all();
    wake_.wait(lock, [this] { return stopping_; });
    --present_;
    // Not before the lock is given up: the pool must live until this thread is through with it.
    std::notify_all_at_thread_exit(changed_, std::move(lock));
  }

  std::mutex mutex_;
  std::condition_variable wake_, changed_;
  int present_ = 0, asleep_ = 0;  // guarded by mutex_
  bool stopping_ = false;         // guarded by mutex_
};

std::unique_ptr<Pool> pool;

/// Not destroyed but left: its condition variables count threads that were not copied.
void forget_pool() { (void)pool.release(); }

int work_and_exit() { std::exit(kAllDone); }
int work() { return 0; }

Worker start(const std::string& method) {
  if (!pool) pool = std::make_unique<Pool>(2);
  if (method == "fork-forget") {
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    if (registered != 0) throw_errno("cannot register a handler", registered);
  }
  if (method == "spawn") return spawn_worker("exit");
  return fork_worker(method == "fork-underscore-exit" ? work : work_and_exit);
}

int fresh() {
  pool = std::make_unique<Pool>(2);
  return work_and_exit();
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, fresh));
}
