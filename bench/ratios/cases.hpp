// The cases of the ratio table: which benchmark, on how many CPUs, and what is aimed at.
//
// Plain data, read-only. A benchmark is named as in its executable, up to the first '/' that starts
// its settings. Adding a row to the report means adding a line here.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace forkscope::bench {

/// One row of the table: a counter of the benchmark, in seconds.
struct Metric {
  std::string title;
  std::string counter;
  std::optional<double> aim;         ///< ratio preloaded / bare that should not be exceeded
  std::optional<double> extra = {};  ///< or the difference, seconds; not with `aim`
};

struct Case {
  std::string name;       ///< what --filter looks at
  std::string program;    ///< benchmark executable
  std::string benchmark;  ///< its benchmark
  int cpus;               ///< CPUs it is pinned to
  std::vector<Metric> metrics;
};

/// A pair of calls that take and give back an uncontended lock, a second thread alive.
inline Case wrapper(const std::string& benchmark, const std::string& title) {
  return {"wrapper-" + benchmark, "wrapper_bench", benchmark, 1, {{title, "pair", {}, 10e-9}}};
}

inline const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases{
      {"pair-1",
       "lock_pair_bench",
       "one_thread",
       1,
       {{"lock pair, single-threaded process", "pair", {}}}},
      {"pair-idle",
       "lock_pair_bench",
       "second_thread_idle",
       1,
       {{"lock pair, a second thread alive", "pair", 1.4}}},
      {"pair-own",
       "lock_pair_bench",
       "own_mutexes",
       2,
       {{"lock pair, two threads, a mutex each", "pair", {}}}},
      {"pair-child",
       "lock_pair_bench",
       "forked_child",
       1,
       {{"lock pair, in a forked child that lost threads", "pair", 1.5}}},
      {"pair-contended",
       "lock_pair_bench",
       "contended",
       2,
       {{"lock pair, two threads, one mutex", "pair", 1.05}}},
      wrapper("rwlock_read", "rdlock + unlock"),
      wrapper("rwlock_write", "wrlock + unlock"),
      wrapper("spin", "spin lock + unlock"),
      wrapper("semaphore", "sem_wait + sem_post"),
      wrapper("c11_mutex", "mtx_lock + mtx_unlock"),
      wrapper("trylock", "pthread_mutex_trylock + unlock"),
      wrapper("stream", "flockfile + funlockfile"),
      wrapper("signal", "pthread_cond_signal, nobody waits"),
      wrapper("once", "pthread_once, done before"),
      {"setname",
       "thread_bench",
       "name_another",
       1,
       {{"pthread_setname_np of another, 10,000 threads", "call", 1.5}}},
      {"setname-self",
       "thread_bench",
       "name_itself",
       1,
       {{"pthread_setname_np of itself, 10,000 threads", "call", 1.5}}},
      wrapper("futex_wake", "syscall(SYS_futex, FUTEX_WAKE)"),
      wrapper("other_syscall", "syscall(SYS_getppid)"),
      wrapper("fcntl", "fcntl(F_GETFL)"),
      // One CPU: parent and child take turns, so that the reap time is the whole work, and repeats
      // within 1 % where two CPUs repeat within 5 %.
      {"fork-1",
       "fork_bench",
       "fork_case/1MiB",
       1,
       {{"fork + exit + wait, 1 MiB", "reap", {}}, {"- fork() call alone", "call", {}}}},
      {"fork-8-threads",
       "fork_bench",
       "fork_case/1MiB_8threads",
       1,
       {{"fork + exit + wait, 1 MiB, 8 threads", "reap", 1.3},
        {"- fork() call alone", "call", {}}}},
      {"fork-256",
       "fork_bench",
       "fork_case/256MiB",
       1,
       {{"fork + exit + wait, 256 MiB", "reap", 1.05}, {"- fork() call alone", "call", {}}}},
      {"fork-exec",
       "fork_bench",
       "fork_case/1MiB_exec_true",
       1,
       {{"fork + exec of /bin/true + wait, 1 MiB", "reap", {}},
        {"- fork() call alone", "call", {}}}},
  };
  return cases;
}

}  // namespace forkscope::bench
