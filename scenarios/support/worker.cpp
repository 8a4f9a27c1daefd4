#include "scenarios/support/worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cinttypes>
#include <cstdio>
#include <exception>

#include "scenarios/support/program.hpp"

namespace forkscope::scenario {
namespace {

struct News {
  enum What : std::int32_t { kReady = 1, kDone = 2 } what;
  std::int64_t result;
};

/// Shorter than PIPE_BUF, so it arrives whole or not at all.
void send(int to, const News& news) {
  if (write(to, &news, sizeof news) != sizeof news) throw_errno("cannot write to the news pipe");
}

enum class Arrival { kNews, kClosed, kNothing };

Arrival receive(int from, std::chrono::milliseconds patience, News& news) {
  const auto deadline = Clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return Arrival::kNothing;
    pollfd waiting{from, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) throw_errno("cannot poll the news pipe");
    if (ready <= 0) continue;
    const ssize_t got = read(from, &news, sizeof news);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read the news pipe");
    return got == sizeof news ? Arrival::kNews : Arrival::kClosed;
  }
}

std::int64_t microseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

int ended_early(Worker& worker, int number) {
  const int status = worker.reap();
  if (WIFSIGNALED(status))
    std::printf("worker %d: worker ended early: signal %d\n", number, WTERMSIG(status));
  else
    std::printf("worker %d: worker ended early: exit %d\n", number, WEXITSTATUS(status));
  return kWorkerEndedEarly;
}

int news_of_this_worker = -1;

std::string examination;  // a command of a shell; none when empty

/// Neither fork nor system(): the scenario is about forks, and tools count them.
void examine(pid_t hung) {
  std::string shell = "/bin/sh", option = "-c", command = examination + " \"$1\"",
              pid = std::to_string(hung);
  char* const arguments[] = {shell.data(), option.data(), command.data(),
                             shell.data(), pid.data(),    nullptr};
  pid_t examiner = -1;
  if (const int error = posix_spawn(&examiner, shell.c_str(), nullptr, nullptr, arguments, environ))
    throw_errno("cannot start " + shell, error);
  while (waitpid(examiner, nullptr, 0) < 0)
    if (errno != EINTR) throw_errno("cannot wait for " + examination);
}

int hung(Worker& worker, int number, const char* where, std::chrono::milliseconds patience) {
  if (!examination.empty()) examine(worker.pid);
  kill(worker.pid, SIGKILL);
  worker.reap();
  std::printf("worker %d: hangs %s: no news for %lld ms; killed\n", number, where,
              static_cast<long long>(patience.count()));
  return kWorkerHung;
}

}  // namespace

void examine_hung_workers(const std::string& command) { examination = command; }

NewsPipe NewsPipe::open() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot make a pipe");
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

void serve(int news, const std::function<std::int64_t()>& work) {
  // A worker that hangs must not outlive a parent that was killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  news_of_this_worker = news;
  try {
    send(news, {News::kReady, 0});
    const std::int64_t result = work();
    send(news, {News::kDone, result});
  } catch (const std::exception& error) {
    dprintf(STDERR_FILENO, "worker %d: %s\n", static_cast<int>(getpid()), error.what());
    _exit(kError);
  }
  _exit(kAllDone);
}

DoneAtExit::~DoneAtExit() {
  if (news_of_this_worker >= 0) send(news_of_this_worker, {News::kDone, 0});
}

int follow(Worker worker, int number, std::chrono::milliseconds patience, std::int64_t expected) {
  std::printf("worker %d: started, pid %d\n", number, static_cast<int>(worker.pid));
  News news{};
  for (const News::What awaited : {News::kReady, News::kDone}) {
    const bool ready = awaited == News::kReady;
    switch (receive(worker.news.get(), patience, news)) {
      case Arrival::kClosed:
        return ended_early(worker, number);
      case Arrival::kNothing:
        return hung(worker, number, ready ? "before it is ready" : "in its work", patience);
      case Arrival::kNews:
        std::printf("timing %s_us=%" PRId64 "\n", ready ? "ready" : "done",
                    microseconds_since(worker.requested));
    }
  }
  const int status = worker.reap();
  if (status != 0 || news.what != News::kDone || news.result != expected) {
    std::fprintf(
        stderr, "worker %d: wrong end: wait status %#x, result %" PRId64 ", expected %" PRId64 "\n",
        number, static_cast<unsigned>(status), news.result, expected);
    return kError;
  }
  std::printf("worker %d: done, result %" PRId64 "\n", number, news.result);
  return kAllDone;
}

}  // namespace forkscope::scenario
