// Scenario vfork-misuse: the child of vfork does more than exec or _exit.
//
// Cause: until it execs or exits, the child of vfork runs in the memory and on the stack of its
// parent, which is stopped meanwhile. A lock it takes is the parent's lock, taken in the parent's
// name; a lock that another thread holds stops parent and child together.
//
//   main:   vfork ............................... goes on, hits is 1
//   worker:       lock(hits_lock) > ++hits > unlock > _exit
#include <pthread.h>
#include <unistd.h>

#include <stdexcept>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "vfork-misuse",
    .title = "lock a mutex in the child of vfork",
    .cause =
        "The child of vfork shares the memory of its parent until it execs or exits. POSIX "
        "allows it nothing but exec and _exit; whatever else it changes, it changes in the "
        "parent, and what it waits for, the parent waits for.",
    .mechanism =
        "The child locks a mutex that is free, counts and unlocks; the parent sees the "
        "count in its own memory.",
    .cure = "Use posix_spawn(), which does in the child of vfork what can be done there.",
    .source = "scenarios/vfork_misuse.cpp",
    .methods = {
        completes("vfork-lock", {{"unsafe-call", "note"}}, "the child locks and unlocks a mutex"),
        silent("vfork-exec", "control: the child execs at once"),
    }};

pthread_mutex_t hits_lock = PTHREAD_MUTEX_INITIALIZER;
volatile int hits = 0;  // guarded by it

[[gnu::noinline]] int count_hit() {
  pthread_mutex_lock(&hits_lock);
  hits = hits + 1;
  return pthread_mutex_unlock(&hits_lock);
}

Worker vfork_and_exec() {
  FreshImage image("hits");
  const pid_t pid = vfork();
  if (pid == 0) image.exec();
  return image.worker(pid);
}

Worker vfork_and_lock() {
  const int before = hits;
  NewsPipe news = NewsPipe::open();
  const auto requested = Clock::now();
  const pid_t pid = vfork();
  if (pid == 0) serve(news.write_end.get(), count_hit);
  if (hits != before + 1) throw std::logic_error("the child counted in memory of its own");
  return started(pid, std::move(news), requested);
}

Worker start(const std::string& method) {
  return method == "vfork-exec" ? vfork_and_exec() : vfork_and_lock();
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, count_hit));
}
