#include "bench/cost/measure/cycle.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cerrno>
#include <exception>
#include <optional>
#include <stdexcept>
#include <thread>

namespace forkscope::cost {
namespace {

constexpr std::size_t kPage = 4096;

/// One cycle in the calling thread.
std::int64_t cycle(Launcher& launcher, Contact& contact, Samples* samples) {
  child_page& page = contact.page();
  page.first = page.in_main = page.ready = 0;
  launcher.prepare();
  const std::int64_t begin = now_ns();
  launcher.start();
  const std::int64_t returned = now_ns();
  launcher.finish();
  const std::int64_t reaped = now_ns();
  if (samples == nullptr) return reaped - begin;
  if (!launcher.blocks()) (*samples)["call"].push_back(returned - begin);
  if (page.first != 0) (*samples)["first"].push_back(page.first - begin);
  if (page.in_main != 0) (*samples)["main"].push_back(page.in_main - begin);
  if (page.ready != 0) (*samples)["ready"].push_back(page.ready - begin);
  (*samples)["reap"].push_back(reaped - begin);
  return reaped - begin;
}

class Alone : public Measurement {
 public:
  Alone(const Spec& spec, const std::string& program)
      : contact_(spec, program),
        launcher_(make_launcher(spec.method, contact_, 4)),
        parent_(spec) {}
  std::int64_t run(Samples* samples) override { return cycle(*launcher_, contact_, samples); }

 private:
  Contact contact_;
  std::unique_ptr<Launcher> launcher_;
  ParentState parent_;
};

/// The same by several threads of one parent that begin together.
class Together : public Measurement {
 public:
  Together(const Spec& spec, const std::string& program)
      : parent_(spec), gate_(std::ptrdiff_t(spec.concurrency) + 1), members_(spec.concurrency) {
    if (spec.method == "zygote" || spec.method == "forkserver")
      throw Skip("servers are measured with one client");
    for (Member& member : members_) {
      member.contact.emplace(spec, program);
      member.launcher = make_launcher(spec.method, *member.contact, 0);
    }
    for (Member& member : members_) member.thread = std::thread([this, &member] { serve(member); });
  }
  ~Together() override {
    stop_ = true;
    gate_.arrive_and_wait();
    for (Member& member : members_) member.thread.join();
  }

  std::int64_t run(Samples* samples) override {
    for (Member& member : members_) member.samples.clear();
    gate_.arrive_and_wait();
    gate_.arrive_and_wait();
    std::int64_t longest = 0;
    for (Member& member : members_) {
      if (member.error) std::rethrow_exception(member.error);
      for (auto& [clock, values] : member.samples) {
        if (clock == "reap") longest = std::max(longest, values.back());
        if (samples == nullptr) continue;
        auto& all = (*samples)[clock];
        all.insert(all.end(), values.begin(), values.end());
      }
    }
    return longest;
  }

 private:
  struct Member {
    std::optional<Contact> contact;
    std::unique_ptr<Launcher> launcher;
    Samples samples;
    std::exception_ptr error;
    std::thread thread;
  };

  void serve(Member& member) {
    for (;;) {
      gate_.arrive_and_wait();
      if (stop_) return;
      try {
        cycle(*member.launcher, *member.contact, &member.samples);
      } catch (...) {
        member.error = std::current_exception();
      }
      gate_.arrive_and_wait();
    }
  }

  ParentState parent_;
  std::barrier<> gate_;
  std::atomic<bool> stop_ = false;
  std::vector<Member> members_;
};

char* own_page() {
  void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw Skip("no memory for a page");
  return static_cast<char*>(page);
}

/// Another thread of the parent that needs what fork() takes: it faults a page in, again and again.
/// The longest that one round took while a process was being created is the stall.
class Stalled : public Measurement {
 public:
  Stalled(const Spec& spec, const std::string& program)
      : contact_(spec, program),
        launcher_(make_launcher(spec.method, contact_, 4)),
        parent_(spec),
        page_(own_page()),
        thread_([this] { beat(); }) {}
  ~Stalled() override {
    stop_ = true;
    thread_.join();
  }

  std::int64_t run(Samples* samples) override {
    after_next_beat();
    worst_ = 0;
    const std::int64_t took = cycle(*launcher_, contact_, samples);
    after_next_beat();  // the one that was stopped has to end before it counts
    if (samples != nullptr) (*samples)["stall"].push_back(worst_);
    return took;
  }

 private:
  void beat() {
    volatile char* page = page_;
    while (!stop_) {
      const std::int64_t begin = now_ns();
      madvise(page_, kPage, MADV_DONTNEED);
      *page = 1;
      const std::int64_t took = now_ns() - begin;
      if (took > worst_) worst_ = took;
      ++beats_;
    }
  }
  // Two, because the next to end may have begun before.
  void after_next_beat() {
    const std::uint64_t seen = beats_;
    while (beats_ < seen + 2) std::this_thread::yield();
  }

  Contact contact_;
  std::unique_ptr<Launcher> launcher_;
  ParentState parent_;
  char* page_;
  std::atomic<std::int64_t> worst_ = 0;
  std::atomic<std::uint64_t> beats_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

std::int64_t minor_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

/// Who writes to the copied pages afterwards, and what it costs. The first to write pays the copy,
/// the other one only the fault.
class Writers : public Measurement {
 public:
  Writers(const Spec& spec, const std::string& program)
      : contact_(spec, program),
        parent_(spec),
        share_(spec.written),
        child_first_(spec.first == "child") {
    if (spec.method != "fork") throw Skip("written pages are measured with fork only");
    if (pipe(to_child_) != 0 || pipe(to_parent_) != 0) throw std::runtime_error("no pipe");
  }

  std::int64_t run(Samples* samples) override {
    child_page& page = contact_.page();
    const std::int64_t begin = now_ns();
    const pid_t pid = fork();
    if (pid == 0) be_child();
    const std::int64_t returned = now_ns();
    if (pid < 0) throw std::runtime_error("no child could be started");
    if (child_first_) receive(to_parent_[0]);
    const std::int64_t faults = minor_faults(), write_begin = now_ns();
    write_pages();
    const std::int64_t write_end = now_ns(), faulted = minor_faults() - faults;
    send(to_child_[1]);
    wait_for(pid);
    const std::int64_t reaped = now_ns();
    if (samples == nullptr) return reaped - begin;
    (*samples)["call"].push_back(returned - begin);
    (*samples)["child_write"].push_back(page.write_ns);
    (*samples)["parent_write"].push_back(write_end - write_begin);
    (*samples)["child_faults"].push_back(page.write_faults);
    (*samples)["parent_faults"].push_back(faulted);
    (*samples)["reap"].push_back(reaped - begin);
    return reaped - begin;
  }

 private:
  [[noreturn]] void be_child() {
    if (!child_first_) receive(to_child_[0]);
    const std::int64_t faults = minor_faults(), begin = now_ns();
    write_pages();
    contact_.page().write_ns = now_ns() - begin;
    contact_.page().write_faults = minor_faults() - faults;
    if (child_first_) {
      send(to_parent_[1]);
      receive(to_child_[0]);
    }
    _exit(0);
  }
  void write_pages() {
    volatile char* memory = parent_.memory();
    std::uint64_t owed = 0;  // evenly spread
    for (std::size_t at = 0; at < parent_.size(); at += kPage) {
      owed += share_;
      if (owed < 100) continue;
      owed -= 100;
      memory[at] = 2;
    }
  }
  static void send(int fd) {
    if (write(fd, "w", 1) != 1) _exit(5);
  }
  static void receive(int fd) {
    char byte;
    while (read(fd, &byte, 1) != 1)
      if (errno != EINTR) _exit(6);
  }

  Contact contact_;
  ParentState parent_;
  std::uint64_t share_;
  bool child_first_;
  int to_child_[2], to_parent_[2];
};

/// A pool: so many tasks, so many at once, a new process for each.
class Pool : public Measurement {
 public:
  Pool(const Spec& spec, const std::string& program)
      : contact_(spec, program),
        launcher_(make_launcher(spec.method, contact_, spec.workers + 2)),
        parent_(spec),
        tasks_(spec.tasks),
        workers_(spec.workers) {
    contact_.page().task_ns = std::int64_t(spec.task) * 1'000'000;
  }

  std::int64_t run(Samples* samples) override {
    const std::int64_t begin = now_ns();
    std::uint64_t running = 0;
    for (std::uint64_t i = 0; i < tasks_; ++i) {
      if (running == workers_) {
        launcher_->finish_any();
        --running;
      }
      launcher_->prepare();
      launcher_->start();
      ++running;
    }
    for (; running > 0; --running) launcher_->finish_any();
    const std::int64_t took = now_ns() - begin;
    if (samples != nullptr) (*samples)["batch"].push_back(took);
    return took;
  }

 private:
  Contact contact_;
  std::unique_ptr<Launcher> launcher_;
  ParentState parent_;
  std::uint64_t tasks_, workers_;
};

}  // namespace

std::unique_ptr<Measurement> make_measurement(const Spec& spec, const std::string& program) {
  if (spec.tasks > 0) return std::make_unique<Pool>(spec, program);
  if (!spec.first.empty()) return std::make_unique<Writers>(spec, program);
  if (spec.stall > 0) return std::make_unique<Stalled>(spec, program);
  if (spec.concurrency > 1) return std::make_unique<Together>(spec, program);
  return std::make_unique<Alone>(spec, program);
}

}  // namespace forkscope::cost
