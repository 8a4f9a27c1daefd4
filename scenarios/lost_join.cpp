// Scenario lost-join: a forked child joins a thread that was not copied.
//
// Cause: the child has the pthread_t and not the thread. POSIX leaves the call undefined; glibc
// marks the threads that were not copied as ended (nptl/nptl-stack.c), so pthread_join returns 0
// at once, with what an earlier thread of the same stack returned, or nothing.
//
//   sum-0: adds up ....................................... returns 42
//   main:                 fork                             join: 42
//   worker (a copy of main alone):  join(sum-0): "success", and not 42
#include <pthread.h>

#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include "scenarios/support/pause.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "lost-join",
    .title = "fork, and join a thread that was not copied",
    .cause =
        "The child joins a thread of the parent. There is no such thread in the child; glibc "
        "says success at once, and gives a result that is none. On other versions and other "
        "systems the same call hangs or faults.",
    .mechanism =
        "The thread is at work until the worker has been started; the worker checks that "
        "what it is given is not the thread's result.",
    .cure =
        "Join before the fork, or let the child forget the threads it inherited: destroying a "
        "pool in the child is such a join.",
    .source = "scenarios/lost_join.cpp",
    .methods = {
        completes("fork", {{"lost-thread", "hazard"}}, "the worker joins the thread of the parent"),
        silent("fork-own-thread", "control: the worker joins a thread that it started itself"),
    }};

std::intptr_t sum = 41;  // another for each thread
Pause while_adding;

void* add_up(void* pauses) {
  pthread_setname_np(pthread_self(), "sum-0");
  if (pauses != nullptr) while_adding.here();
  return reinterpret_cast<void*>(sum);
}

[[gnu::noinline]] std::intptr_t result_of(pthread_t thread) {
  void* result = nullptr;
  if (const int error = pthread_join(thread, &result)) throw_errno("cannot join", error);
  return reinterpret_cast<std::intptr_t>(result);
}

pthread_t start_adding(bool pauses) {
  pthread_t thread;
  if (const int error = pthread_create(&thread, nullptr, add_up, pauses ? &while_adding : nullptr))
    throw_errno("cannot start a thread", error);
  return thread;
}

int join_inherited(pthread_t thread) {
  const std::intptr_t given = result_of(thread);
  std::printf("worker: pthread_join says success, and gives %ld\n", static_cast<long>(given));
  return given == sum ? -1 : 0;
}

int join_own() { return result_of(start_adding(false)) == sum ? 0 : -1; }

Worker start(const std::string& method) {
  ++sum;
  const pthread_t thread = start_adding(true);
  while_adding.await();
  Worker worker = method == "fork" ? fork_worker([&] { return join_inherited(thread); })
                                   : fork_worker(join_own);
  while_adding.let_go();
  if (result_of(thread) != sum) throw std::logic_error("the parent got a wrong sum");
  return worker;
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
