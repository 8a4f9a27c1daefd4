#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

namespace forkscope::scenario {
namespace {

constexpr std::size_t kMaxArgument = 4096;

/// Room for one descriptor in a control message, aligned as the kernel wants it.
union Control {
  std::array<char, CMSG_SPACE(sizeof(int))> bytes;
  cmsghdr alignment;
};

struct Request {
  std::string argument;
  Descriptor news;
};

/// A message of one part, with room for a descriptor.
msghdr carrying(iovec& data, Control& control) {
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  return message;
}

void send_request(int socket, const std::string& argument, int news) {
  std::string text = argument;
  iovec data{text.data(), text.size()};
  Control control{};
  msghdr message = carrying(data, control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof news);
  std::memcpy(CMSG_DATA(header), &news, sizeof news);
  if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) throw_errno("cannot ask the fork server");
}

/// False when the parent closed its end.
bool receive_request(int socket, Request& request) {
  std::array<char, kMaxArgument> text;
  iovec data{text.data(), text.size()};
  Control control{};
  msghdr message = carrying(data, control);
  ssize_t size = 0;
  do size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0) throw_errno("fork server: cannot receive");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return false;
  int news = -1;
  std::memcpy(&news, CMSG_DATA(header), sizeof news);
  request = {std::string(text.data(), static_cast<std::size_t>(size)), Descriptor(news)};
  return true;
}

void send_number(int socket, int number) {
  if (send(socket, &number, sizeof number, MSG_NOSIGNAL) != sizeof number)
    throw_errno("fork server: cannot answer");
}

int receive_number(int socket) {
  int number = 0;
  ssize_t size = 0;
  do size = recv(socket, &number, sizeof number, 0);
  while (size < 0 && errno == EINTR);
  if (size != sizeof number) throw std::runtime_error("the fork server ended without an answer");
  return number;
}

/// One request after the other until the parent closes its end: fork, answer with the PID, reap,
/// answer with the status. The PID stays the worker's until the second answer was read.
void serve_requests(int socket, const std::function<std::int64_t(const std::string&)>& work) {
  Request request;
  while (receive_request(socket, request)) {
    const pid_t pid = fork();
    if (pid < 0) throw_errno("fork server: cannot fork");
    if (pid == 0) {
      close(socket);
      serve(request.news.get(), [&] { return work(request.argument); });
    }
    request.news.close();  // the worker's copy is now the only one: its end closes the pipe
    send_number(socket, pid);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
      if (errno != EINTR) throw_errno("fork server: cannot wait for the worker");
    send_number(socket, status);
  }
}

std::ptrdiff_t count_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

}  // namespace

ForkServer::ForkServer(const std::function<std::int64_t(const std::string&)>& work) {
  if (count_threads() != 1)
    throw std::logic_error("the fork server must be started before any thread");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("cannot make a socket pair");
  socket_ = Descriptor(ends[0]);
  Descriptor server_end(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw_errno("cannot fork the fork server");
  if (pid_ != 0) return;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  socket_.close();
  try {
    serve_requests(server_end.get(), work);
  } catch (const std::exception& error) {
    dprintf(STDERR_FILENO, "%s\n", error.what());
    _exit(kError);
  }
  _exit(kAllDone);
}

ForkServer::~ForkServer() {
  socket_.close();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Worker ForkServer::start(const std::string& argument) {
  if (argument.empty() || argument.size() > kMaxArgument)
    throw std::invalid_argument("the argument of a worker has 1 to 4096 bytes");
  NewsPipe pipe = NewsPipe::open();
  const auto requested = Clock::now();
  send_request(socket_.get(), argument, pipe.write_end.get());
  const pid_t pid = receive_number(socket_.get());
  return {pid, requested, std::move(pipe.read_end),
          [socket = socket_.get()] { return receive_number(socket); }};
}

}  // namespace forkscope::scenario
