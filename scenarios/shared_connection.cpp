// Scenario shared-connection: parent and worker talk on one connection, and get each other's
// answers.
//
// Cause: a socket that is inherited is the same open file, not a second connection. The server sees
// one client; what it sends goes to whoever reads first.
//
//   main:    connect > fork ............. ask "p" > read "W", the worker's answer
//   worker:               ask "w" ............................... read "P", the parent's
//   server:                       answers "W"      answers "P"
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <stdexcept>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "shared-connection",
    .title = "talk to a server on a connection that was opened before fork",
    .cause =
        "A socket that is inherited is the same connection, not a second one. The server sees one "
        "client, and what it answers goes to whoever of them reads first.",
    .mechanism =
        "Worker and parent ask, one after the other, and read in the other order. No lock is "
        "involved and nothing hangs: the finding is a shared-descriptor hazard, and needs "
        "`forkscope run --check=descriptors`.",
    .cure =
        "Connect after the fork, in each process for itself; the worker only closes what it "
        "inherited.",
    .source = "scenarios/shared_connection.cpp",
    .methods = {
        completes("fork", {{"shared-descriptor", "hazard"}},
                  "the worker uses its parent's connection: answers cross")
            .with_run_option("--check=descriptors"),
        silent("fork-own-connection", "control: the worker has a connection of its own"),
    }};

[[gnu::noinline]] void ask(int connection, char question) {
  if (write(connection, &question, 1) != 1) throw_errno("cannot write to the server");
}

[[gnu::noinline]] char answer(int connection) {
  char byte = 0;
  if (read(connection, &byte, 1) != 1) throw_errno("no answer from the server");
  return byte;
}

void must_be(bool truth, const char* otherwise) {
  if (!truth) throw std::logic_error(otherwise);
}

/// A process that answers each letter by its capital on two connections, until they are closed.
class Server {
 public:
  Server() {
    std::array<Descriptor, 2> far;
    for (std::size_t i = 0; i < far.size(); ++i) {
      int ends[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw_errno("cannot make a socket pair");
      connections[i] = Descriptor(ends[0]);
      far[i] = Descriptor(ends[1]);
    }
    pid_ = fork();
    if (pid_ < 0) throw_errno("cannot fork");
    if (pid_ != 0) return;
    for (Descriptor& connection : connections) connection.close();
    serve_all(far[0].get(), far[1].get());
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    for (Descriptor& connection : connections) connection.close();
    waitpid(pid_, nullptr, 0);
  }

  std::array<Descriptor, 2> connections;

 private:
  [[noreturn]] static void serve_all(int first, int second) {
    pollfd all[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
    while (all[0].fd >= 0 || all[1].fd >= 0) {
      if (poll(all, 2, -1) < 0) _exit(1);
      for (pollfd& one : all) {
        char byte;
        if (one.fd < 0 || one.revents == 0) continue;
        if (read(one.fd, &byte, 1) != 1) {
          one.fd = -1;
          continue;
        }
        byte = static_cast<char>(std::toupper(byte));
        if (write(one.fd, &byte, 1) != 1) _exit(1);
      }
    }
    _exit(0);
  }
  pid_t pid_ = -1;
};

/// Waits until the other side closes its end, when it has got so far.
void wait_for(const Descriptor& turn) {
  char byte;
  if (read(turn.get(), &byte, 1) != 0) throw_errno("the other side did not get so far");
}

int parent(const Options& options) {
  const bool shared = options.method == "fork";
  for (int number = 1; number <= options.workers; ++number) {
    Server server;
    Descriptor& ours = server.connections[0];
    Descriptor& spare = server.connections[1];
    NewsPipe asked = NewsPipe::open(), go_on = NewsPipe::open();
    Worker worker = fork_worker([&] {
      asked.read_end.close();
      go_on.write_end.close();
      if (!shared) ours.close();
      const int connection = shared ? ours.get() : spare.get();
      ask(connection, 'w');
      asked.write_end.close();
      wait_for(go_on.read_end);
      return answer(connection);
    });
    asked.write_end.close();
    go_on.read_end.close();
    spare.close();
    wait_for(asked.read_end);
    ask(ours.get(), 'p');
    must_be(answer(ours.get()) == (shared ? 'W' : 'P'),
            shared ? "the parent got its own answer" : "the parent got an answer of the worker's");
    go_on.write_end.close();
    const int status = follow(std::move(worker), number, options.patience, shared ? 'P' : 'W');
    if (status != kAllDone) return status;
  }
  return kAllDone;
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, {parent, {}}); }
