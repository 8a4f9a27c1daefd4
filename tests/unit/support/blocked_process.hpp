// A child process whose threads are blocked in system calls, each at the end of a chain of calls.
// The child has the modules of the test process. Killed at the end.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace blocked {

/// /proc/PID/task/TID/syscall, empty while it runs.
inline std::optional<forkscope::SystemCall> system_call(pid_t pid, pid_t tid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/syscall");
  forkscope::SystemCall call;
  if (!(file >> call.number)) return std::nullopt;
  file >> std::hex;
  std::string word;
  for (auto& argument : call.arguments) {
    file >> word;
    argument = std::stoull(word, nullptr, 16);
  }
  file >> word;
  call.sp = std::stoull(word, nullptr, 16);
  file >> word;
  call.pc = std::stoull(word, nullptr, 16);
  return call;
}

/// Of those the tests use; others are on the way there.
inline bool is_long_wait(long number) {
  constexpr long kWaits[] = {SYS_futex, SYS_clock_nanosleep, SYS_poll,   SYS_read,
                             SYS_pause, SYS_pselect6,        SYS_select, SYS_epoll_wait,
                             SYS_wait4, SYS_rt_sigtimedwait, SYS_semop};
  return std::find(std::begin(kWaits), std::end(kWaits), number) != std::end(kWaits);
}

/// How often a thread began to wait.
inline std::uint64_t switches(pid_t pid, pid_t tid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("voluntary_ctxt_switches:")) return std::stoull(line.substr(24));
  return 0;
}

inline char state(pid_t pid, pid_t tid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/stat");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto end = text.rfind(") ");
  return end == std::string::npos ? '?' : text[end + 2];
}

inline std::vector<pid_t> threads(pid_t pid) {
  std::vector<pid_t> tids;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task"))
    tids.push_back(std::stoi(entry.path().filename()));
  std::sort(tids.begin(), tids.end());
  return tids;
}

/// Waits for something another process does and cannot tell.
inline bool eventually(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    sched_yield();
  }
  return true;
}

class Process {
 public:
  /// The child runs each function in a thread of its own, the last one in its first thread; none
  /// returns. Returns when all are blocked.
  explicit Process(const std::vector<std::function<void()>>& bodies) {
    pid_ = fork();
    if (pid_ == 0) {
      signal(SIGALRM, SIG_DFL);
      alarm(60);  // whatever becomes of the test
      for (std::size_t i = 0; i + 1 < bodies.size(); ++i) std::thread(bodies[i]).detach();
      bodies.back()();
      _exit(1);
    }
    REQUIRE(pid_ > 0);
    REQUIRE(eventually([&] {
      return threads(pid_).size() == bodies.size() && all_blocked() == all_blocked() &&
             !all_blocked().empty();
    }));
  }
  ~Process() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  pid_t pid() const { return pid_; }

 private:
  /// What each thread waits in and how often it has waited; empty when one does not.
  std::vector<std::uint64_t> all_blocked() const {
    std::vector<std::uint64_t> all;
    for (const pid_t tid : threads(pid_)) {
      const auto call = system_call(pid_, tid);
      if (!call || !is_long_wait(call->number)) return {};
      all.insert(all.end(), {std::uint64_t(call->number), call->sp, switches(pid_, tid)});
    }
    return all;
  }

  pid_t pid_ = -1;
};

/// Of the child, by process_vm_readv alone.
class Memory final : public forkscope::ProcessMemory {
 public:
  explicit Memory(pid_t pid) : live_(pid) {}
  bool read(std::uint64_t address, std::span<std::byte> out) override {
    ++reads;
    return live_.read(address, out);
  }
  std::size_t reads = 0;

 private:
  forkscope::LiveMemory live_;
};

}  // namespace blocked
