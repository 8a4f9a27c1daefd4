// What a blocked thread waits for: one case for each family of system calls, in both numberings.
#include <catch2/catch.hpp>
#include <string>

#include "detector/verdict/outside/waits.hpp"

using namespace forkscope;

namespace {

using Arguments = std::initializer_list<std::uint64_t>;
constexpr std::uint64_t kPointer = 0x7ffe12200e18;
constexpr int kNone = -1;  ///< the architecture has no such call

Wait wait_in(long number, Arguments arguments = {}, Abi abi = Abi::kX86_64) {
  ThreadEvidence thread;
  thread.state = 'S';
  thread.call.emplace();
  thread.call->number = number;
  std::copy(arguments.begin(), arguments.end(), thread.call->arguments);
  thread.call->sp = kPointer;
  thread.call->pc = 0x7f4f10af1dd0;
  return wait_of(thread, abi);
}

/// A call under its numbers; the words `does` must hold.
struct Call {
  const char* name;
  int x86_64, generic;
  const char* does;
};

template <class Check>
void in_both(const Call& call, Arguments arguments, const Check& check) {
  if (call.x86_64 != kNone) {
    INFO(call.name << " on x86-64");
    check(wait_in(call.x86_64, arguments));
  }
  if (call.generic != kNone) {
    INFO(call.name << " on the generic ABI");
    check(wait_in(call.generic, arguments, Abi::kGeneric64));
  }
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const char* const kLimited = "for a limited time";

}  // namespace

TEST_CASE("a call on a descriptor waits for the outside, for ever, and names it", "[waits]") {
  const Call calls[] = {
      {"read", 0, 63, "reads"},          {"pread64", 17, 67, "reads"},
      {"readv", 19, 65, "reads"},        {"write", 1, 64, "writes"},
      {"pwrite64", 18, 68, "writes"},    {"writev", 20, 66, "writes"},
      {"accept", 43, 202, "connection"}, {"accept4", 288, 242, "connection"},
      {"connect", 42, 203, "connects"},  {"recvfrom", 45, 207, "receives"},
      {"recvmsg", 47, 212, "receives"},  {"sendto", 44, 206, "sends"},
      {"sendmsg", 46, 211, "sends"},
  };
  for (const Call& call : calls)
    in_both(call, {17, kPointer, 64}, [&](const Wait& wait) {
      CHECK(wait.kind == WaitKind::kOutside);
      CHECK(wait.for_ever);
      CHECK_FALSE(wait.futex);
      CHECK(has(wait.does, call.does));
      CHECK(has(wait.does, "17"));
      CHECK_FALSE(has(wait.does, "%"));
    });
}

TEST_CASE("202 is a futex on x86-64 and accept on the generic ABI", "[waits]") {
  CHECK(wait_in(202, {kPointer, 0x80}).kind == WaitKind::kFutex);
  CHECK(wait_in(202, {kPointer, 0x80}, Abi::kGeneric64).kind == WaitKind::kOutside);
  CHECK(wait_in(98, {kPointer, 0x80}, Abi::kGeneric64).kind == WaitKind::kFutex);
  CHECK(wait_in(98, {kPointer, 0x80}).kind != WaitKind::kFutex);  // getrusage
}

TEST_CASE("poll and epoll: a time limit in milliseconds, negative for none", "[waits]") {
  struct Polled {
    Call call;
    int limit;  ///< index of the argument
  } const calls[] = {{{"poll", 7, kNone, "polls"}, 2},
                     {{"epoll_wait", 232, kNone, "epoll descriptor 9"}, 3},
                     {{"epoll_pwait", 281, 22, "epoll descriptor 9"}, 3}};
  for (const Polled& polled : calls) {
    // The kernel shows a 32-bit -1 with whatever the upper half of the register held.
    for (std::uint64_t none : {std::uint64_t{UINT64_MAX}, std::uint64_t{0xffffffff}}) {
      const auto at = [&](int index) { return polled.limit == index ? none : 5; };
      in_both(polled.call, {9, kPointer, at(2), at(3)}, [&](const Wait& wait) {
        CHECK(wait.kind == WaitKind::kOutside);
        CHECK(wait.for_ever);
        CHECK(has(wait.does, polled.call.does));
      });
    }
    for (std::uint64_t some : {0, 1, 30'000}) {
      const auto at = [&](int index) { return polled.limit == index ? some : 5; };
      in_both(polled.call, {9, kPointer, at(2), at(3)}, [&](const Wait& wait) {
        CHECK(wait.kind == WaitKind::kOutside);
        CHECK_FALSE(wait.for_ever);
        CHECK(has(wait.does, kLimited));
      });
    }
  }
}

TEST_CASE("calls with a pointer to a time limit wait for ever without one", "[waits]") {
  struct Limited {
    Call call;
    int limit;
  } const calls[] = {
      {{"ppoll", 271, 73, "polls"}, 2},           {{"select", 23, kNone, "selects"}, 4},
      {{"pselect6", 270, 72, "selects"}, 4},      {{"epoll_pwait2", 441, 441, "epoll"}, 3},
      {{"recvmmsg", 299, 243, "receives"}, 4},    {{"rt_sigtimedwait", 128, 137, "signal"}, 2},
      {{"semtimedop", 220, 192, "System V"}, 3},  {{"mq_timedreceive", 243, 183, "message"}, 4},
      {{"mq_timedsend", 242, 182, "message"}, 4}, {{"io_getevents", 208, 4, "input"}, 4}};
  for (const Limited& limited : calls) {
    const auto with = [&](std::uint64_t limit) {
      return [&limited, limit](int index) { return limited.limit == index ? limit : 1; };
    };
    const auto none = with(0), some = with(kPointer);
    in_both(limited.call, {1, 1, none(2), none(3), none(4)}, [&](const Wait& wait) {
      CHECK(wait.kind == WaitKind::kOutside);
      CHECK(wait.for_ever);
      CHECK(has(wait.does, limited.call.does));
    });
    in_both(limited.call, {1, 1, some(2), some(3), some(4)}, [&](const Wait& wait) {
      CHECK_FALSE(wait.for_ever);
      CHECK(has(wait.does, kLimited));
    });
  }
}

TEST_CASE("children, signals, files, System V and asynchronous input wait for the outside",
          "[waits]") {
  const Call calls[] = {
      {"wait4", 61, 260, "child"},
      {"waitid", 247, 95, "child"},
      {"vfork", 58, kNone, "vfork"},
      {"clone", 56, 220, "vfork"},
      {"clone3", 435, 435, "vfork"},
      {"pause", 34, kNone, "signal"},
      {"rt_sigsuspend", 130, 133, "signal"},
      {"semop", 65, 193, "System V"},
      {"msgrcv", 70, 188, "System V"},
      {"msgsnd", 69, 189, "System V"},
      {"flock", 73, 32, "lock"},
      {"fcntl", 72, 25, ""},
      {"openat", 257, 56, "file"},
      {"fsync", 74, 82, "disk"},
      {"io_uring_enter", 426, 426, "input"},
      {"restart_syscall", 219, 128, "interrupted"},
  };
  for (const Call& call : calls)
    in_both(call, {3, 7}, [&](const Wait& wait) {
      CHECK(wait.kind == WaitKind::kOutside);
      CHECK_FALSE(wait.futex);
      CHECK(has(wait.does, call.does));
    });
}

TEST_CASE("a sleep ends by itself", "[waits]") {
  for (const Call& call :
       {Call{"nanosleep", 35, 101, "sleeps"}, Call{"clock_nanosleep", 230, 115, "sleeps"}})
    in_both(call, {0, 0, kPointer}, [&](const Wait& wait) {
      CHECK(wait.kind == WaitKind::kTime);
      CHECK_FALSE(wait.for_ever);
      CHECK(wait.does == call.does);
    });
}

TEST_CASE("a call that is not in the table is never a lock", "[waits]") {
  for (long number : {12L, 1000L, 100'000L}) {
    const Wait wait = wait_in(number);
    CHECK(wait.kind == WaitKind::kOutside);
    CHECK_FALSE(wait.futex);
    CHECK(has(wait.does, std::to_string(number)));
  }
}

TEST_CASE("blocked in no system call is a wait for the kernel", "[waits]") {
  const Wait wait = wait_in(-1);
  CHECK(wait.kind == WaitKind::kOutside);
  CHECK_FALSE(wait.for_ever);
  CHECK_FALSE(wait.futex);
}

TEST_CASE("a 32-bit program's numbers are not looked up", "[waits]") {
  const Wait wait = wait_in(240, {kPointer, 0x80}, Abi::k32Bit);  // its futex
  CHECK(wait.kind == WaitKind::kUnknown);
  CHECK_FALSE(wait.futex);
  CHECK(has(wait.does, "32-bit"));
  CHECK(wait_in(202, {kPointer, 0x80}, Abi::k32Bit).kind == WaitKind::kUnknown);
}
