#include "scenarios/support/start.hpp"

#include <spawn.h>
#include <sys/wait.h>

#include <array>

namespace forkscope::scenario {
namespace {

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw_errno("cannot wait for the worker");
  return status;
}

}  // namespace

Worker fork_worker(const std::function<std::int64_t()>& work) {
  NewsPipe pipe = NewsPipe::open();
  const auto requested = Clock::now();
  const pid_t pid = fork();
  if (pid < 0) throw_errno("cannot fork");
  if (pid == 0) {
    pipe.read_end.close();
    serve(pipe.write_end.get(), work);
  }
  return {pid, requested, std::move(pipe.read_end), [pid] { return wait_for(pid); }};
}

Worker spawn_worker(const std::string& argument) {
  NewsPipe pipe = NewsPipe::open();
  constexpr int kNews = 3;  // first number after the standard streams
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Also right if the pipe already is number 3: posix_spawn then clears close-on-exec.
  posix_spawn_file_actions_adddup2(&actions, pipe.write_end.get(), kNews);

  std::string name = "worker", option = "--worker=" + std::to_string(kNews), given = argument;
  const std::array<char*, 4> arguments = {name.data(), option.data(), given.data(), nullptr};
  const auto requested = Clock::now();
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw_errno("cannot spawn /proc/self/exe", error);
  return {pid, requested, std::move(pipe.read_end), [pid] { return wait_for(pid); }};
}

}  // namespace forkscope::scenario
