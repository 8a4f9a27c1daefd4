#include "tests/tracker/unit/observed.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <vector>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::test {

namespace {

std::int32_t owner_word_of_this_thread() {
  pthread_mutex_t probe = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&probe);
  std::int32_t tid = MutexWords(&probe).owner();
  pthread_mutex_unlock(&probe);
  pthread_mutex_destroy(&probe);
  return tid;
}

/// Begins before main(), while there is one thread; the session's folder goes with the process.
class Observation {
 public:
  Observation() {
    const char* temporary = std::getenv("TMPDIR");
    folder_ = std::string(temporary != nullptr ? temporary : "/tmp") + "/forkscope-unit-XXXXXX";
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    owner_ = getpid();
    std::string options = "FORKSCOPE_OPTIONS=log=none:on_deadlock=exit:86:session=" + folder_;
    char name[] = "tracker_unit_tests";
    char* argv[] = {name, nullptr};
    char* envp[] = {options.data(), nullptr};
    sys::init_clock();
    init_process(1, argv, envp);
    init_registry(owner_word_of_this_thread);
    attach_current_thread();
    warm_up_stack();
  }
  ~Observation() {
    if (owner_ != getpid()) return;
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  pid_t owner_;
};
const Observation observation;

pid_t last_child = 0;

}  // namespace

namespace {

/// The test framework and the sanitizers handle signals. The verdicts ask whether handlers may end
/// a wait: for the program under test there are none.
void drop_signal_handlers() {
  for (int number = 1; number < SIGRTMAX; ++number) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL &&
        action.sa_handler != SIG_IGN)
      signal(number, SIG_DFL);
  }
}

}  // namespace

int observed_child(const std::function<int()>& body) {
  fork_begin(record::Api::kFork, __builtin_return_address(0));
  last_child = fork();
  if (last_child == 0) {
    drop_signal_handlers();
    fork_in_child();
    _exit(body());
  }
  fork_in_parent(last_child < 0 ? errno : 0);
  int status = -1;
  waitpid(last_child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The tracker takes leave of a thread in the last round of key destructors, and so does
// ThreadSanitizer, which comes first in each: ours has to be a round earlier.
void attach_test_thread() {
  if (ThreadRecord* self = attach_current_thread()) self->destructor_rounds = 1;
}

void together(int count, const std::function<void(int)>& body) {
  pthread_barrier_t begin;
  pthread_barrier_init(&begin, nullptr, unsigned(count));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      attach_test_thread();
      pthread_barrier_wait(&begin);
      body(i);
    });
  for (std::thread& thread : threads) thread.join();
  pthread_barrier_destroy(&begin);
}

Session recorded() { return read_session(observation.folder()); }

std::vector<FindingRecord> findings_of_last_child() {
  std::vector<FindingRecord> own;
  for (FindingRecord& finding : recorded().findings)
    if (finding.meta.pid == last_child) own.push_back(std::move(finding));
  return own;
}

CallStack::CallStack() {
  void* memory = mmap(nullptr, kSize + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kSize, PROT_READ | PROT_WRITE) != 0)
    throw std::runtime_error("no memory for a call stack");
  base_ = static_cast<char*>(memory);
}

CallStack::~CallStack() { munmap(base_, kSize + 4096); }

Keeper::Keeper(std::function<void()> take, std::function<void()> give)
    : take_(std::move(take)), give_(std::move(give)) {
  pthread_barrier_init(&step_, nullptr, 2);
  if (pthread_create(&thread_, nullptr, run, this) != 0) throw std::runtime_error("no thread");
  pthread_barrier_wait(&step_);
}

Keeper::~Keeper() {
  pthread_barrier_wait(&step_);
  pthread_join(thread_, nullptr);
  pthread_barrier_destroy(&step_);
}

void* Keeper::run(void* keeper) {
  auto& self = *static_cast<Keeper*>(keeper);
  attach_test_thread();
  self.tid_ = libc_tid();
  self.take_();
  pthread_barrier_wait(&self.step_);
  pthread_barrier_wait(&self.step_);
  self.give_();
  return nullptr;
}

}  // namespace forkscope::test
