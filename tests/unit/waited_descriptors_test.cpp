// Who writes to the descriptors that a thread waits for: descriptors of this very process.
#include "detector/inspect/waited_descriptors.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>

using namespace forkscope;

namespace {

Evidence in_call(long number, std::array<std::uint64_t, 3> arguments) {
  Evidence evidence;
  evidence.process.pid = getpid();
  evidence.process.abi = kNativeAbi;
  ThreadEvidence thread;
  thread.tid = 200;
  thread.call = SystemCall{number, {arguments[0], arguments[1], arguments[2], 0, 0, 0}, 0, 0};
  evidence.process.threads = {thread};
  return evidence;
}

WaitedDescriptors seen(const Evidence& evidence) {
  LiveMemory memory(getpid());
  const auto all = waited_descriptors(memory, evidence);
  REQUIRE(all.size() == 1);
  CHECK(all[0].tid == 200);
  return all[0];
}

WaitedDescriptors polls(std::vector<pollfd> entries) {
  return seen(in_call(SYS_ppoll, {reinterpret_cast<std::uint64_t>(entries.data()), entries.size(), 0}));
}

struct Pair {
  int ends[2] = {-1, -1};
  ~Pair() {
    for (const int end : ends)
      if (end >= 0) close(end);
  }
};

}  // namespace

TEST_CASE("descriptors: an eventfd is for threads, a pipe with both ends here for its own process",
          "[descriptors]") {
  const int event = eventfd(0, 0);
  WaitedDescriptors waited = polls({{event, POLLIN, 0}, {-1, 0, 0}});
  CHECK(waited.inside);
  CHECK_FALSE(waited.outside);
  CHECK(waited.inherited);  // there is no parent to look at
  Pair pair;
  REQUIRE(pipe(pair.ends) == 0);
  waited = polls({{pair.ends[0], POLLIN, 0}});
  CHECK(waited.inside);
  CHECK_FALSE(waited.outside);
  CHECK_FALSE(waited.inherited);
  close(pair.ends[1]);
  pair.ends[1] = -1;
  waited = polls({{pair.ends[0], POLLIN, 0}, {event, POLLIN, 0}});
  CHECK(waited.inside);
  CHECK(waited.outside);  // whoever has the other end of the pipe
  close(event);
}

TEST_CASE("descriptors: the two of a socketpair are its own, others are not", "[descriptors]") {
  Pair pair;
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.ends) == 0);
  CHECK(polls({{pair.ends[0], POLLIN, 0}}).inside);
  close(pair.ends[1]);
  pair.ends[1] = -1;
  CHECK_FALSE(polls({{pair.ends[0], POLLIN, 0}}).inside);
  CHECK(polls({{pair.ends[0], POLLIN, 0}}).outside);
}

TEST_CASE("descriptors: what the parent has, too, it may write to, and what it has not is newer than "
          "the fork",
          "[descriptors]") {
  Pair pair;
  REQUIRE(pipe(pair.ends) == 0);
  const int event = eventfd(0, 0);
  pollfd entry{pair.ends[0], POLLIN, 0};
  Evidence evidence = in_call(SYS_ppoll, {reinterpret_cast<std::uint64_t>(&entry), 1, 0});
  evidence.ancestors.emplace_back();
  evidence.ancestors[0].pid = getpid();  // has all that this process has
  CHECK(seen(evidence).outside);
  CHECK(seen(evidence).inherited);
  entry.fd = event;
  CHECK_FALSE(seen(evidence).outside);
  CHECK(seen(evidence).inherited);
  evidence.ancestors[0].pid = getppid();
  CHECK_FALSE(seen(evidence).inherited);
  entry.fd = pair.ends[0];
  CHECK_FALSE(seen(evidence).outside);
  CHECK_FALSE(seen(evidence).inherited);
  close(event);
}

TEST_CASE("descriptors: select, read and epoll say theirs", "[descriptors]") {
  const int event = eventfd(0, 0);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(event, &set);
  CHECK(seen(in_call(SYS_pselect6, {std::uint64_t(event) + 1, reinterpret_cast<std::uint64_t>(&set), 0}))
            .inside);
  CHECK(seen(in_call(SYS_read, {std::uint64_t(event), 0, 0})).inside);
  const int epoll = epoll_create1(0);
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted) == 0);
  const WaitedDescriptors waited = seen(in_call(SYS_epoll_pwait, {std::uint64_t(epoll), 0, 0}));
  CHECK(waited.inside);
  CHECK_FALSE(waited.outside);
  close(epoll);
  close(event);
}

TEST_CASE("descriptors: a call of another kind waits for none", "[descriptors]") {
  LiveMemory memory(getpid());
  CHECK(waited_descriptors(memory, in_call(SYS_nanosleep, {0, 0, 0})).empty());
}
