#include "scenarios/support/blocked.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "scenarios/support/descriptor.hpp"

namespace forkscope::scenario {
namespace {

constexpr std::chrono::seconds kLimit{10};

struct SystemCall {
  long number;
  std::uintptr_t first_argument;
};

/// nullopt while the thread runs.
std::optional<SystemCall> sleeps_in(pid_t tid) {
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "/proc/self/task/%d/syscall", static_cast<int>(tid));
  const Descriptor file(open(path.data(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw_errno("cannot open /proc/self/task/TID/syscall");
  std::array<char, 256> text;
  const ssize_t size = read(file.get(), text.data(), text.size() - 1);
  if (size < 0) throw_errno("cannot read /proc/self/task/TID/syscall");
  text[static_cast<std::size_t>(size)] = '\0';
  char *after_number = nullptr, *after_argument = nullptr;
  const long number = std::strtol(text.data(), &after_number, 10);
  const std::uintptr_t first = std::strtoul(after_number, &after_argument, 16);
  if (after_argument == after_number) return std::nullopt;  // "running"
  return SystemCall{number, first};
}

}  // namespace

void wait_until(bool (*holds)(const void*), const void* argument) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!holds(argument)) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error("what the scenario waits for did not happen in ten seconds");
    sched_yield();
  }
}

void wait_until_in_system_call(pid_t tid, long number) {
  wait_until([&] {
    const auto call = sleeps_in(tid);
    return call && call->number == number;
  });
}

void wait_until_blocked_on(pid_t tid, const void* object, std::size_t size) {
  const auto start = reinterpret_cast<std::uintptr_t>(object);
  wait_until([&] {
    const auto call = sleeps_in(tid);
    return call && call->number == SYS_futex && call->first_argument - start < size;
  });
}

}  // namespace forkscope::scenario
