// Shares descriptors with forked children, one way a mode: descriptors_probe MODE.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace {

void check(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  _exit(3);
}

struct Ends {
  int read, write;
};

Ends make_pipe() {
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  return {ends[0], ends[1]};
}

std::pair<int, int> make_sockets(int type) {
  int ends[2];
  check(socketpair(AF_UNIX, type, 0, ends) == 0, "socketpair");
  return {ends[0], ends[1]};
}

int make_listener() {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0, "bind");
  check(listen(listener, 1) == 0, "listen");
  return listener;
}

int make_locked_file() {
  char path[] = "/tmp/descriptors_probe.XXXXXX";
  int file = mkstemp(path);
  check(file >= 0 && unlink(path) == 0 && flock(file, LOCK_EX) == 0, path);
  return file;
}

void collect(pid_t child) {
  int status = 0;
  check(waitpid(child, &status, 0) == child && status == 0, "child");
}

[[gnu::noinline]] pid_t fork_child(const std::function<void()>& work) {
  pid_t child = fork();
  check(child >= 0, "fork");
  if (child != 0) return child;
  work();
  _exit(0);
}

/// The child works, and lives on until the parent has worked, too. The pipes between them are used
/// as one should.
void while_both_live(const std::function<void()>& in_child,
                     const std::function<void()>& in_parent) {
  Ends done = make_pipe(), end = make_pipe();
  pid_t child = fork_child([&] {
    close(done.read);
    close(end.write);
    in_child();
    close(done.write);
    char byte;
    check(read(end.read, &byte, 1) == 0, "read");
  });
  close(done.write);
  close(end.read);
  char byte;
  check(read(done.read, &byte, 1) == 0, "read");
  in_parent();
  close(end.write);
  collect(child);
  close(done.read);
}

void put(int descriptor) { check(write(descriptor, "x", 1) == 1, "write"); }
void take(int descriptor) {
  char byte;
  check(read(descriptor, &byte, 1) == 1, "read");
}

void wait_at(int epoll) {
  epoll_event event{};
  check(epoll_wait(epoll, &event, 1, 0) == 0, "epoll_wait");
}

void read_counter(int counter) {
  eventfd_t value;
  check(eventfd_read(counter, &value) == 0, "eventfd_read");
}

// ---- hazards ------------------------------------------------------------------------------------

void both_write_connection() {
  auto [ours, peer] = make_sockets(SOCK_STREAM);
  fcntl(peer, F_SETFD, FD_CLOEXEC);
  const int connection = ours, other = peer;
  collect(fork_child([=] {
    close(other);
    check(send(connection, "quit", 4, 0) == 4, "send");
  }));
  check(send(connection, "ask", 3, 0) == 3, "send");
}

void both_read_connection() {
  auto [ours, peer] = make_sockets(SOCK_STREAM);
  const int connection = ours, other = peer;
  check(write(other, "ab", 2) == 2, "write");
  collect(fork_child([=] {
    close(other);
    take(connection);
  }));
  take(connection);
}

void both_receive_messages() {
  auto [ours, peer] = make_sockets(SOCK_DGRAM);
  const int connection = ours, other = peer;
  put(other);
  put(other);
  collect(fork_child([=] {
    close(other);
    take(connection);
  }));
  take(connection);
}

void both_wait_at_epoll() {
  int epoll = epoll_create1(0);
  while_both_live([=] { wait_at(epoll); }, [=] { wait_at(epoll); });
}

void both_use_inotify() {
  int inotify = inotify_init();
  while_both_live([=] { check(inotify_add_watch(inotify, "/", IN_CREATE) >= 0, "add"); },
                  [=] { check(inotify_add_watch(inotify, "/", IN_CREATE) >= 0, "add"); });
}

void both_read_eventfd() {
  int counter = eventfd(1, 0);
  while_both_live([=] { read_counter(counter); },
                  [=] {
                    check(eventfd_write(counter, 1) == 0, "eventfd_write");
                    read_counter(counter);
                  });
}

void both_read_pipe() {
  Ends ends = make_pipe();
  check(write(ends.write, "ab", 2) == 2, "write");
  collect(fork_child([=] {
    close(ends.write);
    take(ends.read);
  }));
  take(ends.read);
}

void siblings_talk() {
  auto [ours, peer] = make_sockets(SOCK_STREAM);
  const int connection = ours, other = peer;
  put(other);
  put(other);
  for (int i = 0; i < 2; ++i) {
    collect(fork_child([=] {
      close(other);
      put(connection);
      take(connection);
    }));
  }
}

// ---- notes --------------------------------------------------------------------------------------

void both_write_pipe() {
  Ends ends = make_pipe();
  collect(fork_child([=] {
    close(ends.read);
    put(ends.write);
  }));
  put(ends.write);
}

void keeps_all() {
  make_pipe();
  make_sockets(SOCK_STREAM);
  make_sockets(SOCK_DGRAM);
  make_listener();
  epoll_create1(0);
  inotify_init();
  eventfd(0, 0);
  make_locked_file();
  collect(fork_child([] {}));
}

/// The reader waits for the end of a pipe of which a later child has the write end.
void pipe_never_ends() {
  Ends ends = make_pipe(), end = make_pipe();
  pid_t reader = fork_child([=] {
    close(ends.write);
    close(end.write);
    close(end.read);
    char byte;
    while (read(ends.read, &byte, 1) > 0) continue;
  });
  close(ends.read);
  pid_t forgetful = fork_child([=] {
    close(end.write);
    char byte;
    check(read(end.read, &byte, 1) == 0, "read");
  });
  close(end.read);
  put(ends.write);
  close(ends.write);
  close(end.write);
  collect(forgetful);
  collect(reader);
}

// ---- nothing to say -----------------------------------------------------------------------------

void closes_all() {
  Ends ends = make_pipe();
  auto [a, b] = make_sockets(SOCK_STREAM);
  const int all[] = {ends.read,     ends.write,        a, b, make_listener(), epoll_create1(0),
                     eventfd(0, 0), make_locked_file()};
  collect(fork_child([&all] {
    for (int descriptor : all) close(descriptor);
  }));
}

void executes() {
  make_pipe();
  make_sockets(SOCK_STREAM);
  epoll_create1(0);
  collect(fork_child([] {
    execl("/bin/true", "true", nullptr);
    _exit(127);
  }));
}

void hands_over() {
  auto [ours, peer] = make_sockets(SOCK_STREAM);
  const int connection = ours, other = peer;
  Ends gone = make_pipe();
  pid_t child = fork_child([=] {
    close(other);
    close(gone.write);
    char byte;
    check(read(gone.read, &byte, 1) == 0, "read");
    put(connection);
  });
  close(connection);
  close(gone.read);
  close(gone.write);
  take(other);
  collect(child);
}

/// The parent sees that its child has ended, by the end of a pipe that nobody writes to.
void tells_its_death() {
  Ends ends = make_pipe(), closed = make_pipe();
  pid_t child = fork_child([=] {
    close(ends.read);
    close(closed.write);
    char byte;
    check(read(closed.read, &byte, 1) == 0, "read");
  });
  close(ends.write);
  close(closed.read);
  close(closed.write);
  char byte;
  check(read(ends.read, &byte, 1) == 0, "read");
  collect(child);
}

void each_its_end() {
  auto [ours, theirs] = make_sockets(SOCK_STREAM);
  const int a = ours, b = theirs;
  while_both_live(
      [=] {
        close(a);
        put(b);
      },
      [=] {
        close(b);
        take(a);
        put(a);
      });
}

void both_accept() {
  int listener = make_listener();
  const auto nobody_there = [=] { check(accept(listener, nullptr, nullptr) < 0, "accept"); };
  while_both_live(nobody_there, nobody_there);
}

void both_send_messages() {
  auto [ours, peer] = make_sockets(SOCK_DGRAM);
  const int connection = ours, other = peer;
  collect(fork_child([=] {
    close(other);
    put(connection);
  }));
  put(connection);
}

/// The numbers are the same, the open files are not.
void own_ones_under_the_same_numbers() {
  int epoll = epoll_create1(0), counter = eventfd(1, 0);
  auto [ours, peer] = make_sockets(SOCK_STREAM);
  const int connection = ours, other = peer;
  while_both_live(
      [=] {
        close(other);
        int own_epoll = epoll_create1(0), own_counter = eventfd(1, 0);
        auto [own, own_peer] = make_sockets(SOCK_STREAM);
        dup2(own_epoll, epoll);
        dup2(own_counter, counter);
        dup2(own, connection);
        wait_at(epoll);
        read_counter(counter);
        put(connection);
        put(own_peer);
        take(connection);
      },
      [=] {
        wait_at(epoll);
        read_counter(counter);
        put(connection);
        put(other);
        take(connection);
      });
}

/// The counter wakes one of them, and the other writes to it.
void wakes_by_eventfd() {
  int counter = eventfd(0, 0);
  while_both_live([=] { check(eventfd_write(counter, 1) == 0, "eventfd_write"); },
                  [=] { read_counter(counter); });
}

/// What it was started with is not its own mistake: itself, started again with open descriptors.
void starts_with_some() {
  make_pipe();
  make_sockets(SOCK_STREAM);
  epoll_create1(0);
  execl("/proc/self/exe", "descriptors_probe", "forks", nullptr);
}

void forks() {
  collect(fork_child([] {}));
}

void both_read_semaphore() {
  int semaphore = eventfd(2, EFD_SEMAPHORE);
  while_both_live([=] { read_counter(semaphore); }, [=] { read_counter(semaphore); });
}

const std::map<std::string, void (*)()> kModes = {
    {"both-write-connection", both_write_connection},
    {"both-read-connection", both_read_connection},
    {"both-receive-messages", both_receive_messages},
    {"both-wait-at-epoll", both_wait_at_epoll},
    {"both-use-inotify", both_use_inotify},
    {"both-read-eventfd", both_read_eventfd},
    {"both-read-pipe", both_read_pipe},
    {"siblings-talk", siblings_talk},
    {"both-write-pipe", both_write_pipe},
    {"keeps-all", keeps_all},
    {"pipe-never-ends", pipe_never_ends},
    {"closes-all", closes_all},
    {"executes", executes},
    {"hands-over", hands_over},
    {"tells-its-death", tells_its_death},
    {"each-its-end", each_its_end},
    {"both-accept", both_accept},
    {"both-send-messages", both_send_messages},
    {"own-ones", own_ones_under_the_same_numbers},
    {"starts-with-some", starts_with_some},
    {"forks", forks},
    {"both-read-semaphore", both_read_semaphore},
    {"wakes-by-eventfd", wakes_by_eventfd},
};

}  // namespace

int main(int argc, char** argv) {
  const auto mode = kModes.find(argc > 1 ? argv[1] : "");
  if (mode == kModes.end()) return 2;
  mode->second();
}
