// Scenario worker-pool: a forked worker waits for pool threads that were not copied.
//
// This models what real Polars does in the program of its user guide's multiprocessing page. Polars
// runs every query on a process-wide pool of threads (rayon). A query of the parent has started the
// pool; at the fork the pool is idle and no lock is held. The worker's copy of the pool says that
// its threads exist, so the worker queues its jobs and waits on a condition variable for threads
// that are not there. rayon waits on a latch made of a mutex and a condition variable; so does this
// pool. The twin scenario, parquet-lock, holds a mutex at the fork as the guide's text has it.
//
//   parent:  run > pool-0..3 started > jobs done > idle: all wait, nothing locked > fork
//   worker (a copy of main alone): run > jobs queued, pool-0 "woken" > job_done.wait for ever
//
// The fork always meets the pool idle: wait_until_idle() returns when every thread of it sleeps.
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "worker-pool",
    .title = "fork after the parent has used a thread pool",
    .cause =
        "A query of the parent has started a pool of threads. fork() copies the pool's memory, "
        "which "
        "says that the threads exist, but not the threads. The worker hands its jobs to the pool "
        "it "
        "inherited and waits for ever for threads that are not there. No lock is held at the fork.",
    .mechanism =
        "Models what real Polars does: it runs every query on a process-wide rayon pool and waits "
        "on "
        "a latch, a mutex and a condition variable, without a time limit. Every fork meets the "
        "pool "
        "idle: all its threads sleep and no wake-up is under way.",
    .cure =
        "Start workers with posix_spawn of a fresh image or through a fork server started before "
        "the "
        "pool (Python: multiprocessing.get_context(\"spawn\") or \"forkserver\"), fork before the "
        "first query, or give the worker a pool of its own. A library can forget its pool in a "
        "child "
        "handler of pthread_atfork, so that the next query starts a new one.",
    .source = "scenarios/worker_pool.cpp",
    .methods = {
        waits_beside_a_lock(
            "fork", "forked with the pool idle; the worker runs a query on the pool it inherited"),
        silent("spawn", "the worker is a fresh image and starts a pool of its own"),
        silent("forkserver",
               "forked by a server from before the pool; the worker starts a pool of its own"),
        silent("fork-without-pool-use",
               "control: the parent never used its pool; the forked worker starts the threads "
               "itself"),
        silent("fork-own-pool",
               "control: the parent's pool is idle; the forked worker makes a pool of its own"),
    }};

// ---- a thread pool
// --------------------------------------------------------------------------------

using Job = std::function<void()>;

/// Starts its threads when it is first used, like rayon's global pool, and keeps them.
class ThreadPool {
 public:
  explicit ThreadPool(std::string name) : name_(std::move(name)) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  /// Runs the jobs on the threads of the pool and returns when all are done.
  void run(const std::vector<Job>& jobs);
  /// Returns when all threads sleep and the queue is empty: no lock held, no wake-up under way.
  void wait_until_idle();

 private:
  static constexpr std::size_t kThreads = 4;

  /// Each thread sleeps on a condition variable of its own, as in rayon. Whoever wakes it clears
  /// `asleep`, so the flag is exact even before the thread runs.
  struct PoolThread {
    std::condition_variable wake;
    bool asleep = false;
    std::thread thread;
  };
  struct QueuedJob {
    const Job* job;
    std::size_t* left;  ///< of the call of run() it belongs to
  };

  void start_threads();
  void thread_main(PoolThread& self);
  void wake_one();
  void wait_for_jobs(std::unique_lock<std::mutex>& lock, const std::size_t& left);

  const std::string name_;
  std::mutex mutex_;  ///< guards all below
  std::condition_variable job_done_;
  std::condition_variable fell_asleep_;
  std::deque<QueuedJob> queue_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<PoolThread>> threads_;
};

ThreadPool query_pool("pool");

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& each : threads_) {
      each->asleep = false;
      each->wake.notify_one();
    }
  }
  for (const auto& each : threads_) each->thread.join();
}

void ThreadPool::start_threads() {
  for (std::size_t number = 0; number < kThreads; ++number) {
    PoolThread& self = *threads_.emplace_back(std::make_unique<PoolThread>());
    self.thread = std::thread([this, &self, number] {
      pthread_setname_np(pthread_self(), (name_ + "-" + std::to_string(number)).c_str());
      thread_main(self);
    });
  }
}

[[gnu::noinline]] void ThreadPool::thread_main(PoolThread& self) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      self.asleep = true;
      fell_asleep_.notify_all();
      self.wake.wait(lock, [&] { return !self.asleep; });
      continue;
    }
    const QueuedJob next = queue_.front();
    queue_.pop_front();
    lock.unlock();
    (*next.job)();
    lock.lock();
    if (--*next.left == 0) job_done_.notify_all();
  }
}

void ThreadPool::wake_one() {
  for (const auto& each : threads_) {
    if (!each->asleep) continue;
    each->asleep = false;
    each->wake.notify_one();
    return;
  }
}

[[gnu::noinline]] void ThreadPool::wait_for_jobs(std::unique_lock<std::mutex>& lock,
                                                 const std::size_t& left) {
  job_done_.wait(lock, [&] { return left == 0; });
}

[[gnu::noinline]] void ThreadPool::run(const std::vector<Job>& jobs) {
  std::unique_lock lock(mutex_);
  if (threads_.empty()) start_threads();  // in a forked worker the vector is full, of no threads
  std::size_t left = jobs.size();
  for (const Job& job : jobs) {
    queue_.push_back({&job, &left});
    wake_one();
  }
  wait_for_jobs(lock, left);
}

void ThreadPool::wait_until_idle() {
  std::unique_lock lock(mutex_);
  fell_asleep_.wait(lock, [&] {
    return queue_.empty() && std::all_of(threads_.begin(), threads_.end(),
                                         [](const auto& each) { return each->asleep; });
  });
}

// ---- the program
// ----------------------------------------------------------------------------------

using Frame = std::vector<std::int64_t>;

/// The order amounts: positive and negative, the same in every run.
Frame make_orders() {
  Frame frame(32768);
  std::uint64_t random = 1;
  for (std::int64_t& amount : frame) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    amount = static_cast<std::int64_t>(random >> 48) - 32768;
  }
  return frame;
}

/// The query: filter the positive rows and add them up, a part of the frame per job.
[[gnu::noinline]] std::int64_t filter_and_sum(ThreadPool& pool, const Frame& frame) {
  constexpr std::size_t kParts = 8;
  std::vector<std::int64_t> sums(kParts);
  std::vector<Job> jobs;
  for (std::size_t part = 0; part < kParts; ++part)
    jobs.push_back([&, part] {
      const std::size_t end = frame.size() * (part + 1) / kParts;
      for (std::size_t row = frame.size() * part / kParts; row < end; ++row)
        if (frame[row] > 0) sums[part] += frame[row];
    });
  pool.run(jobs);
  return std::accumulate(sums.begin(), sums.end(), std::int64_t{0});
}

std::int64_t worker() { return filter_and_sum(query_pool, make_orders()); }

std::int64_t worker_with_own_pool() {
  ThreadPool pool("own");
  return filter_and_sum(pool, make_orders());
}

int parent(const Options& options) {
  const std::string& method = options.method;
  const auto fresh_worker = [](const std::string&) { return worker(); };
  std::optional<ForkServer> server;
  if (method == "forkserver") server.emplace(fresh_worker);  // before the first thread

  const Frame orders = make_orders();
  const std::int64_t expected = std::accumulate(
      orders.begin(), orders.end(), std::int64_t{0},
      [](std::int64_t sum, std::int64_t amount) { return amount > 0 ? sum + amount : sum; });

  // One after the other, as in the guide, whose program would stay in join() at the first that
  // hangs.
  for (int number = 1; number <= options.workers; ++number) {
    if (method == "fork-without-pool-use") {
      std::printf("parent: the pool was never used\n");
    } else {
      if (filter_and_sum(query_pool, orders) != expected)
        throw std::logic_error("the query of the parent gave a wrong sum");
      query_pool.wait_until_idle();
      std::printf("parent: a query is done, the threads of query_pool sleep, no lock is held\n");
    }
    Worker started = method == "spawn"           ? spawn_worker("orders")
                     : method == "forkserver"    ? server->start("orders")
                     : method == "fork-own-pool" ? fork_worker(worker_with_own_pool)
                                                 : fork_worker(worker);
    const int status = follow(std::move(started), number, options.patience, expected);
    if (status != kAllDone) return status;
  }
  return kAllDone;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription,
                     {parent, [](const std::string&) { return worker(); }});
}
