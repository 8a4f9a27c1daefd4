#include "scenarios/support/start.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>

#include "scenarios/support/program.hpp"

namespace forkscope::scenario {
namespace {

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw_errno("cannot wait for the worker");
  return status;
}

}  // namespace

Worker fork_worker(const std::function<std::int64_t()>& work, pid_t (*copy)()) {
  NewsPipe pipe = NewsPipe::open();
  const auto requested = Clock::now();
  const pid_t pid = copy();
  if (pid == 0) {
    pipe.read_end.close();
    serve(pipe.write_end.get(), work);
  }
  return started(pid, std::move(pipe), requested);
}

Worker started(pid_t pid, NewsPipe news, Clock::time_point requested) {
  if (pid < 0) throw_errno("cannot start a worker");
  return {pid, requested, std::move(news.read_end), [pid] { return wait_for(pid); }};
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

FreshImage::FreshImage(const std::string& argument)
    : option_("--worker=" + std::to_string(pipe_.write_end.get())),
      argument_(argument),
      arguments_{name_.data(), option_.data(), argument_.data(), nullptr} {}

void FreshImage::exec() const {
  fcntl(pipe_.write_end.get(), F_SETFD, 0);  // the one descriptor that stays open
  execve(program_.c_str(), arguments_.data(), environ);
  _exit(kError);
}

pid_t FreshImage::spawn() const {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Onto itself: posix_spawn then clears close-on-exec.
  const int news = pipe_.write_end.get();
  posix_spawn_file_actions_adddup2(&actions, news, news);
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, program_.c_str(), &actions, nullptr, arguments_.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw_errno("cannot spawn this program again", error);
  return pid;
}

Worker FreshImage::worker(pid_t pid) { return started(pid, std::move(pipe_), requested_); }

Worker spawn_worker(const std::string& argument) {
  FreshImage image(argument);
  return image.worker(image.spawn());
}

}  // namespace forkscope::scenario
