// Scenario atfork-inversion: fork() itself never returns, because of its at-fork handlers.
//
// Cause: each library protects its lock by pthread_atfork, and fork() runs their prepare handlers
// one after the other: the one registered last takes its lock first. That is an order of locks like
// any other. A thread that takes the same two the other way round meets it sooner or later. No
// child is made; it is the parent that hangs.
//
//   updater-0:  lock(index_lock) ................................ lock(table_lock)  waits for fork
//   worker:     fork > prepare: lock(table_lock) > lock(index_lock)  waits for updater-0
//
// The worker is a process of its own, so that this program can end it: it starts the thread, and
// forks once more.
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "atfork-inversion",
    .title = "at-fork handlers take locks in an order that another thread inverts",
    .cause =
        "Prepare handlers take the locks they protect one after the other, from the last "
        "registered to the first. A thread that takes two of them the other way round deadlocks "
        "with the forking thread: fork() never returns. Handlers registered twice do so alone.",
    .mechanism =
        "A thread holds the lock that the second handler wants, and takes that of the first as "
        "soon as it sees the fork wait.",
    .cure =
        "Keep one order of locks everywhere, handlers included: the library whose lock is taken "
        "first elsewhere registers last. Register once.",
    .source = "scenarios/atfork_inversion.cpp",
    .methods = {
        hangs("inverted", "atfork-handler", "the thread has one lock, the handlers the other")
            .seen_from_outside("stuck"),
        completes("inverted-in-time", {{"atfork-handler", "latent"}},
                  "the thread has had both in time, and the fork succeeds")
            .as_timing_of("inverted"),
        silent("ordered", "control: the same, in the order of the handlers"),
        hangs("registered-twice", "atfork-handler",
              "the same handlers registered twice: the second run waits for the first")
            .seen_from_outside("stuck"),
    }};

pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t index_lock = PTHREAD_MUTEX_INITIALIZER;

void lock_table() { pthread_mutex_lock(&table_lock); }
void unlock_table() { pthread_mutex_unlock(&table_lock); }
void lock_index() { pthread_mutex_lock(&index_lock); }
void unlock_index() { pthread_mutex_unlock(&index_lock); }

/// Forks a process that ends at once.
int fork_helper() {
  const pid_t helper = fork();
  if (helper == 0) _exit(0);
  int status = 0;
  if (helper < 0 || waitpid(helper, &status, 0) != helper || status != 0)
    throw std::runtime_error("the helper did not end well");
  return 0;
}

/// Registered in the order in which the libraries were loaded: prepare runs from the last to the
/// first, so the table's lock is taken first.
void protect_both() {
  pthread_atfork(lock_index, unlock_index, unlock_index);
  pthread_atfork(lock_table, unlock_table, unlock_table);
}

int hang_in_fork(pid_t forker) {
  protect_both();
  Holder updater("updater-0", lock_index, [forker] {
    wait_until_blocked_on(forker, index_lock);
    lock_table();
    unlock_table();
    unlock_index();
  });
  updater.let_go();
  return fork_helper();
}

/// The thread is inside both when the process forks, and leaves when the fork waits for it.
int fork_beside_updater(pid_t forker, bool index_first) {
  protect_both();
  Holder updater(
      "updater-0",
      [index_first] {
        if (index_first) lock_index();
        lock_table();
        if (!index_first) lock_index();
      },
      [forker] {
        wait_until_blocked_on(forker, table_lock);
        unlock_index();
        unlock_table();
      });
  updater.let_go();
  return fork_helper();
}

int fork_registered_twice() {
  pthread_atfork(lock_table, unlock_table, unlock_table);
  pthread_atfork(lock_table, unlock_table, unlock_table);
  return fork_helper();
}

Worker start(const std::string& method) {
  return fork_worker([method] {
    const auto forker = static_cast<pid_t>(syscall(SYS_gettid));
    if (method == "registered-twice") return fork_registered_twice();
    if (method == "inverted") return hang_in_fork(forker);
    return fork_beside_updater(forker, method == "inverted-in-time");
  });
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
