// Scenario libc-locks: locks inside libc that fork() leaves as another thread had them.
//
// Cause: glibc's fork() makes malloc, stdio and the loader usable in the child. Other functions
// have locks of their own that nobody resets: localtime (tzset_lock), setenv (envlock), getaddrinfo
// (the list of interfaces), atexit and exit (__exit_funcs_lock), and more; docs/unsafe-calls.md has
// the list. No function that could be watched takes them, and no mutex in them names an owner.
//
//   clock-0: localtime > lock(tzset_lock) > openat(zone file) ........ unlock
//   main:                                                       fork
//   worker (a copy of main alone):     localtime > lock(tzset_lock)  for ever
//
// The thread is stopped at a system call that the function makes under its lock.
#include <netdb.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"
#include "scenarios/support/stop_at_call.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "libc-locks",
    .title = "fork while a thread is inside localtime, setenv, getaddrinfo or atexit",
    .cause =
        "A thread of the parent is inside a function of libc that has a lock which fork() does "
        "not reset. The child inherits the lock taken and hangs in the same function, or in "
        "another that needs the lock. POSIX allows a child of a threaded process only "
        "async-signal-safe functions until exec, and these are none.",
    .mechanism =
        "The thread is stopped by a seccomp filter at a system call that the function makes with "
        "its lock taken: it opens a file, makes a socket, or gets memory.",
    .cure =
        "Do before the fork what the child needs done (convert the time, build the environment, "
        "look the name up), or exec at once, or use posix_spawn.",
    .source = "scenarios/libc_locks.cpp",
    .methods = {
        hangs("localtime", "libc-lock", "the thread reads a time zone; the worker calls localtime"),
        hangs("setenv", "libc-lock", "the thread sets a long variable; the worker calls setenv"),
        hangs("getaddrinfo", "libc-lock", "the thread asks for interfaces; the worker looks up"),
        hangs("atexit", "libc-lock", "the thread registers a handler; the worker does, too"),
        silent("localtime-over", "the thread has left the function before the fork, and lives on")
            .as_timing_of("localtime"),
        silent("setenv-over", "the same with setenv").as_timing_of("setenv"),
        silent("getaddrinfo-over", "the same with getaddrinfo").as_timing_of("getaddrinfo"),
        silent("atexit-over", "the same with atexit").as_timing_of("atexit"),
        silent("localtime-spawn", "the same moment, but the worker is a fresh image"),
        silent("localtime-time", "control: the same moment; the worker calls time() only"),
    }};

/// glibc reads a zone when TZ has changed, or when it is asked for the first time.
void choose_zone(int number) {
  setenv("TZ", (":forkscope/zone-" + std::to_string(number)).c_str(), 1);
}

[[gnu::noinline]] int ask_localtime() {
  const std::time_t now = 0;
  return std::localtime(&now) != nullptr ? 0 : -1;
}

/// Longer than what setenv keeps on its stack, and not too long for exec.
const std::string kLongValue(100'000, 'x');

[[gnu::noinline]] int set_variable(const char* value) {
  return setenv("FORKSCOPE_SCENARIO_VALUE", value, 1);
}

[[gnu::noinline]] int look_up() {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_ADDRCONFIG;  // the latter asks for the interfaces
  addrinfo* found = nullptr;
  const int error = getaddrinfo("127.0.0.1", nullptr, &hints, &found);
  if (error == 0) freeaddrinfo(found);
  return error == EAI_NONAME || error == EAI_ADDRFAMILY ? 0 : error;  // no interface is no matter
}

[[gnu::noinline]] int register_handler() {
  return atexit([] {});
}

/// What a thread of the parent does, and the system call it makes under the lock.
struct Function {
  const char* name;
  long stops_at;
  void (*in_thread)();
  int (*in_worker)();
};

// The first memory that a thread asks for comes from an arena that it maps. atexit() keeps its
// handlers in blocks of 32: the thread asks at the next block.
const Function kFunctions[] = {
    {"localtime", SYS_openat, [] { ask_localtime(); }, ask_localtime},
    {"setenv", SYS_mmap, [] { set_variable(kLongValue.c_str()); },
     [] { return set_variable("short"); }},
    {"getaddrinfo", SYS_socket, [] { look_up(); }, look_up},
    {"atexit", SYS_mmap,
     [] {
       for (int i = 0; i < 33; ++i) register_handler();
     },
     register_handler},
};

int only_ask_time() { return std::time(nullptr) > 0 ? 0 : -1; }

Worker start(const std::string& method) {
  static int round = 0;
  choose_zone(++round);
  const std::string name = method.substr(0, method.find('-'));
  const std::string how = name == method ? "" : method.substr(name.size() + 1);
  const Function* function = kFunctions;
  while (function->name != name) ++function;

  Pause inside;
  PausedThread thread("clock-0", inside, [&] {
    if (how == "over") {
      function->in_thread();
      return inside.here();
    }
    stop_at_next_call(function->stops_at, inside);
    function->in_thread();
  });
  thread.await();
  if (how == "spawn") return spawn_worker("clock");
  return fork_worker(how == "time" ? only_ask_time : function->in_worker);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, ask_localtime));
}
