// Scenario allocator-lock: a child is forked while a thread is inside the memory allocator.
//
// Cause: an allocator has locks, and every program forks while some thread allocates. glibc repairs
// its own malloc in the child, and nobody else's. jemalloc and tcmalloc register at-fork handlers
// that take all their locks before the fork and give them back after it. An allocator of the
// program's own that does not will hang a child one day: in malloc, far from the fork.
//
//   alloc-0: allocate > lock(heap_lock) > get memory .............. unlock
//   main:                                            fork
//   worker (a copy of main alone):     allocate > lock(heap_lock)  for ever
//
// The methods jemalloc and tcmalloc run with Debian's packages libjemalloc2 and
// libtcmalloc-minimal4. Their thread is stopped at the mmap that it makes with the allocator's lock
// taken, and goes on when it sees that fork() waits for it.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"
#include "scenarios/support/stop_at_call.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "allocator-lock",
    .title = "fork while a thread is inside a memory allocator",
    .cause =
        "A thread of the parent is inside the allocator at the fork, with its lock. The child "
        "inherits the lock taken, and hangs at its next allocation. glibc, jemalloc and tcmalloc "
        "see to it in fork(); an allocator of the program's own may not.",
    .mechanism =
        "The thread stops where the allocator gets new memory from the kernel: in the naive one "
        "until the worker has been started, in the real ones until fork() waits for it.",
    .cure =
        "Take the allocator's locks in the prepare handler of pthread_atfork, in the order in "
        "which they are taken elsewhere, and unlock them in the parent and in the child handler.",
    .source = "scenarios/allocator_lock.cpp",
    .methods = {
        hangs("naive", "orphaned-lock", "an allocator with one lock and no handlers"),
        lucky("naive-lucky", "the thread has allocated before the fork, and lives on")
            .as_timing_of("naive"),
        silent("naive-atfork", "control: the same allocator with at-fork handlers"),
        silent("jemalloc", "control: the real one; fork() waits for the thread"),
        silent("tcmalloc", "control: the real one; fork() waits for the thread"),
    }};

// ---- an allocator without handlers --------------------------------------------------------------

pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;
char* free_memory = nullptr;  // guarded by it
std::size_t left = 0;         // guarded by it

void lock_heap() { pthread_mutex_lock(&heap_lock); }
void unlock_heap() { pthread_mutex_unlock(&heap_lock); }

/// From the front of a block of memory, a new one when that is used up; nothing is given back.
[[gnu::noinline]] void* allocate(std::size_t size, Pause* in_growth = nullptr) {
  constexpr std::size_t kBlock = 1 << 16;
  lock_heap();
  if (left < size) {
    if (in_growth != nullptr) in_growth->here();
    free_memory = static_cast<char*>(
        mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    left = kBlock;
  }
  void* result = free_memory;
  free_memory += size;
  left -= size;
  unlock_heap();
  return result;
}

int use_allocator() { return allocate(64) != nullptr ? 0 : -1; }

/// Somebody must tell the thread to go on when fork() waits for it in a prepare handler.
Worker fork_that_waits_for(PausedThread& thread, int (*work)()) {
  Gate begins;
  std::thread waker([&, forker = gettid()] {
    begins.open();
    wait_until_in_system_call(forker, SYS_futex);
    thread.let_go();
  });
  begins.wait();
  Worker worker = fork_worker(work);
  waker.join();
  return worker;
}

Worker start_naive(const std::string& method) {
  left = 0;  // no other thread: the next one grows
  if (method == "naive-atfork") {
    static const int registered = pthread_atfork(lock_heap, unlock_heap, unlock_heap);
    if (registered != 0) throw_errno("cannot register at-fork handlers", registered);
  }
  Pause pause;
  PausedThread thread("alloc-0", pause, [&] {
    if (method == "naive-lucky") {
      allocate(64);
      pause.here();
    } else {
      allocate(64, &pause);
    }
  });
  thread.await();
  return method == "naive-atfork" ? fork_that_waits_for(thread, use_allocator)
                                  : fork_worker(use_allocator);
}

// ---- real ones ----------------------------------------------------------------------------------

struct RealAllocator {
  const char* name;
  const char* library;
  const char* package;
  const char* symbol;  ///< that only it defines
};
constexpr RealAllocator kReal[] = {
    {"jemalloc", "libjemalloc.so.2", "libjemalloc2", "mallctl"},
    {"tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "tc_malloc"}};

/// This program once more, with the allocator in the place of malloc.
[[noreturn]] void execute_again_with(const RealAllocator& allocator) {
  constexpr const char* kAgain = "FORKSCOPE_SCENARIO_AGAIN";
  if (std::getenv(kAgain) != nullptr)
    throw Skipped(std::string("the package ") + allocator.package + " is not installed");
  setenv(kAgain, "1", 1);
  setenv("TCMALLOC_SKIP_SBRK", "1", 1);  // new memory by mmap alone
  const char* before = std::getenv("LD_PRELOAD");
  const std::string preload =
      (before && *before ? std::string(before) + ":" : std::string()) + allocator.library;
  setenv("LD_PRELOAD", preload.c_str(), 1);
  std::ifstream file("/proc/self/cmdline");
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv(this_program().c_str(), arguments.data());
  throw_errno("cannot execute this program again");
}

constexpr std::size_t kLarge = 64 << 20;

[[gnu::noinline]] int use_malloc(std::size_t size) {
  void* volatile memory = std::malloc(size);
  std::free(memory);
  return memory != nullptr ? 0 : -1;
}

Worker start_real(const RealAllocator& allocator) {
  if (dlsym(RTLD_DEFAULT, allocator.symbol) == nullptr) execute_again_with(allocator);
  // More than was given back before: the allocator must ask the kernel.
  static std::size_t size = kLarge / 2;
  size *= 2;
  Pause in_growth;
  PausedThread thread("alloc-0", in_growth, [&] {
    stop_at_next_call(SYS_mmap, in_growth);
    use_malloc(size);
  });
  thread.await();
  return fork_that_waits_for(thread, [] { return use_malloc(kLarge); });
}

Worker start(const std::string& method) {
  for (const RealAllocator& allocator : kReal)
    if (method == allocator.name) return start_real(allocator);
  return start_naive(method);
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
