#include "scenarios/runner/processes.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <list>
#include <set>
#include <string_view>

#include "scenarios/support/descriptor.hpp"

namespace forkscope::scenario {
namespace {

using Clock = std::chrono::steady_clock;

struct Running {
  std::size_t index = 0;
  pid_t pid = -1;
  Descriptor ended, output, errors;  ///< pidfd, and the read ends of two pipes
  Clock::time_point started, limit;
  Result result;
};

/// While it lives: orphaned descendants become our children, and the three signals can be read.
class Supervision {
 public:
  Supervision() {
    prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper_);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&taken_);
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&taken_, signal);
    sigprocmask(SIG_BLOCK, &taken_, &before_);
    signals_ = Descriptor(signalfd(-1, &taken_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  Supervision(const Supervision&) = delete;
  Supervision& operator=(const Supervision&) = delete;
  ~Supervision() {
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    prctl(PR_SET_CHILD_SUBREAPER, was_subreaper_);
  }

  const sigset_t& mask_before() const { return before_; }
  int descriptor() const { return signals_.get(); }
  void throw_if_signalled() const {
    signalfd_siginfo info{};
    if (read(signals_.get(), &info, sizeof info) == sizeof info)
      throw Interrupted{static_cast<int>(info.ssi_signo)};
  }

 private:
  int was_subreaper_ = 0;
  sigset_t taken_{}, before_{};
  Descriptor signals_;
};

std::pair<Descriptor, Descriptor> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot make a pipe");
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// What to read from, nothing for a file, and what the program writes to.
std::pair<Descriptor, Descriptor> make_stream(const std::string& file) {
  if (file.empty()) return make_pipe();
  Descriptor end(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (end.get() < 0) throw_errno("cannot write " + file);
  return {Descriptor(), std::move(end)};
}

/// The caller's environment with some variables replaced.
std::vector<std::string> environment_of(const Command& command) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view text = *variable;
    const bool replaced =
        std::any_of(command.environment.begin(), command.environment.end(), [&](const auto& added) {
          return text.starts_with(added.first) && text.substr(added.first.size()).starts_with('=');
        });
    if (!replaced) environment.emplace_back(text);
  }
  for (const auto& [name, value] : command.environment) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

Running start(std::size_t index, Command command, const sigset_t& mask) {
  Running running;
  running.index = index;
  auto [output, output_end] = make_stream(command.output_file);
  auto [errors, errors_end] = make_stream(command.errors_file);
  for (const Descriptor* end : {&output, &errors}) fcntl(end->get(), F_SETFL, O_NONBLOCK);
  std::vector<std::string> environment = environment_of(command);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors_end.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A session, not only a group: no terminal that could stop a program in the background.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &mask);
  const int error = posix_spawn(&running.pid, command.arguments[0].c_str(), &actions, &attributes,
                                pointers(command.arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw_errno("cannot start " + command.arguments[0], error);

  running.started = Clock::now();
  running.limit = running.started + command.limit;
  running.output = std::move(output);
  running.errors = std::move(errors);
  // Not pidfd_open(): <sys/pidfd.h> of glibc 2.36 declares it without extern "C".
  running.ended = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, running.pid, 0)));
  if (running.ended.get() < 0) {
    const int reason = errno;
    kill(-running.pid, SIGKILL);
    waitpid(running.pid, nullptr, 0);
    throw_errno("cannot watch " + command.arguments[0], reason);
  }
  return running;
}

/// Takes what is there; closes at the end of file.
void drain(Descriptor& from, std::string& to) {
  char bytes[4096];
  for (;;) {
    const ssize_t size = from.get() < 0 ? 0 : read(from.get(), bytes, sizeof bytes);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return from.close();
    to.append(bytes, static_cast<std::size_t>(size));
  }
}

/// Kills the group, then reaps its leader, whose PID keeps the group's number from reuse.
void end(Running& running) {
  kill(-running.pid, SIGKILL);
  while (waitpid(running.pid, &running.result.wait_status, 0) < 0 && errno == EINTR) {
  }
  drain(running.output, running.result.output);
  drain(running.errors, running.result.errors);
}

std::vector<pid_t> children() {
  std::ifstream file("/proc/self/task/" + std::to_string(gettid()) + "/children");
  std::vector<pid_t> result;
  for (pid_t pid; file >> pid;) result.push_back(pid);
  return result;
}

/// Kills what we adopted, until nothing is left. Each round frees the children of those killed.
void end_adopted(const std::set<pid_t>& ours_before) {
  for (bool again = true; again;) {
    again = false;
    for (const pid_t pid : children()) {
      if (ours_before.contains(pid)) continue;
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      again = true;
    }
  }
}

int milliseconds_until(Clock::time_point limit) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(limit - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30));
}

/// Sleeps until something can be done about one of them.
void wait_for_news(std::list<Running>& all, int signals) {
  std::vector<pollfd> waiting{{signals, POLLIN, 0}};
  Clock::time_point limit = Clock::time_point::max();
  for (const Running& running : all) {
    for (const Descriptor* each : {&running.ended, &running.output, &running.errors})
      waiting.push_back({each->get(), POLLIN, 0});  // poll ignores negative descriptors
    limit = std::min(limit, running.limit);
  }
  if (poll(waiting.data(), waiting.size(), milliseconds_until(limit)) < 0 && errno != EINTR)
    throw_errno("cannot poll");
}

bool has_ended(const Running& running) {
  pollfd state{running.ended.get(), POLLIN, 0};
  return poll(&state, 1, 0) == 1;
}

}  // namespace

void run_processes(std::size_t count, std::size_t jobs,
                   const std::function<Command(std::size_t)>& make,
                   const std::function<void(std::size_t, const Result&)>& done) {
  const Supervision supervision;
  const std::vector<pid_t> before = children();
  const std::set<pid_t> ours_before(before.begin(), before.end());
  std::list<Running> all;
  try {
    for (std::size_t next = 0; next < count || !all.empty();) {
      while (next < count && all.size() < jobs) {
        all.push_back(start(next, make(next), supervision.mask_before()));
        ++next;
      }
      wait_for_news(all, supervision.descriptor());
      supervision.throw_if_signalled();
      for (auto each = all.begin(); each != all.end();) {
        drain(each->output, each->result.output);
        drain(each->errors, each->result.errors);
        const bool ended = has_ended(*each);
        if (!ended && Clock::now() < each->limit) {
          ++each;
          continue;
        }
        each->result.timed_out = !ended;
        each->result.took =
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - each->started);
        end(*each);
        const Running over = std::move(*each);
        each = all.erase(each);
        done(over.index, over.result);
      }
    }
  } catch (...) {
    for (Running& running : all) end(running);
    end_adopted(ours_before);
    throw;
  }
  end_adopted(ours_before);
}

}  // namespace forkscope::scenario
