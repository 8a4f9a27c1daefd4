#include "bench/cost/measure/server.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace forkscope::cost {
namespace {

void die_with_parent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it was gone before that
}

void fork_child(Contact& contact, bool waits) {
  const pid_t self = getpid();
  const pid_t pid = fork();
  if (pid < 0) _exit(2);
  if (pid != 0) return;
  die_with_parent(self);
  if (waits)
    contact.be_ready_child();
  else
    contact.be_child();
}

[[noreturn]] void serve(Contact& contact, int socket, std::uint64_t ready) {
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, nullptr);
  const int ended = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  for (std::uint64_t i = 0; i < ready; ++i) fork_child(contact, true);
  for (;;) {
    pollfd ready_fds[] = {{socket, POLLIN, 0}, {ended, POLLIN, 0}};
    if (poll(ready_fds, 2, -1) < 0) continue;
    char byte = 0;
    if ((ready_fds[0].revents & POLLIN) != 0 && recv(socket, &byte, 1, 0) == 1)
      fork_child(contact, false);
    else if (ready_fds[0].revents != 0)
      _exit(0);  // the client is gone
    if (ready_fds[1].revents == 0) continue;
    signalfd_siginfo info;
    while (read(ended, &info, sizeof info) > 0) continue;
    int status = 0;
    while (waitpid(-1, &status, WNOHANG) > 0) {
      const char answer = status == 0 ? 'k' : 'e';
      if (send(socket, &answer, 1, MSG_NOSIGNAL) != 1) _exit(0);
      if (ready > 0) fork_child(contact, true);
    }
  }
}

class ServerLauncher : public Launcher {
 public:
  ServerLauncher(Contact& contact, std::uint64_t ready) : Launcher(contact), zygote_(ready > 0) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
      throw std::runtime_error("no socket for the server");
    const pid_t self = getpid();
    server_ = fork();
    if (server_ < 0) throw std::runtime_error("no process for the server");
    if (server_ == 0) {
      die_with_parent(self);
      close(pair[0]);
      serve(contact, pair[1], ready);
    }
    close(pair[1]);
    socket_ = pair[0];
  }
  ~ServerLauncher() override {
    close(socket_);
    kill(server_, SIGKILL);
    while (waitpid(server_, nullptr, 0) < 0 && errno == EINTR) continue;
  }

  void prepare() override {
    if (!zygote_) contact_.send_task();
  }
  void start() override {
    if (zygote_)
      contact_.send_task();
    else if (send(socket_, "f", 1, MSG_NOSIGNAL) != 1)
      throw std::runtime_error("the fork server has ended");
  }
  void finish() override {
    char answer = 0;
    ssize_t got;
    while ((got = recv(socket_, &answer, 1, 0)) < 0 && errno == EINTR) continue;
    if (got != 1 || answer != 'k') throw std::runtime_error("a child of the server failed");
  }
  void finish_any() override { finish(); }

 private:
  bool zygote_;
  pid_t server_ = -1;
  int socket_ = -1;
};

}  // namespace

std::unique_ptr<Launcher> make_server(Contact& contact, std::uint64_t ready) {
  return std::make_unique<ServerLauncher>(contact, ready);
}

}  // namespace forkscope::cost
