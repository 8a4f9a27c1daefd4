// Futex operations, and threads that are in no call at all.
#include <linux/futex.h>
#include <catch2/catch.hpp>

#include "detector/verdict/outside/waits.hpp"

using namespace forkscope;

namespace {

constexpr std::uint64_t kWord = 0x55aec328e180, kPointer = 0x7ffe12200e18;
constexpr long kFutexX86 = 202, kFutexGeneric = 98, kFutexWaitV = 449, kFutexWait2 = 455;

ThreadEvidence in_call(long number, std::initializer_list<std::uint64_t> arguments) {
  ThreadEvidence thread;
  thread.state = 'S';
  thread.call.emplace();
  thread.call->number = number;
  std::copy(arguments.begin(), arguments.end(), thread.call->arguments);
  return thread;
}

Wait futex(int operation, std::uint64_t value = 2, std::uint64_t limit = 0) {
  const auto arguments = {kWord, std::uint64_t(operation), value,
                          limit, std::uint64_t{0},         std::uint64_t{0xffffffff}};
  const Wait x86 = wait_of(in_call(kFutexX86, arguments), Abi::kX86_64);
  const Wait generic = wait_of(in_call(kFutexGeneric, arguments), Abi::kGeneric64);
  CHECK(x86.kind == generic.kind);
  CHECK(x86.for_ever == generic.for_ever);
  CHECK(x86.futex.has_value() == generic.futex.has_value());
  return x86;
}

}  // namespace

TEST_CASE("FUTEX_WAIT: address, expected value, private or not", "[waits][futex]") {
  for (int flag : {0, FUTEX_PRIVATE_FLAG}) {
    const Wait wait = futex(FUTEX_WAIT | flag);
    REQUIRE(wait.futex);
    CHECK(wait.kind == WaitKind::kFutex);
    CHECK(wait.for_ever);
    CHECK(wait.futex->address == kWord);
    CHECK(wait.futex->expected == 2);
    CHECK(wait.futex->is_private == (flag != 0));
    CHECK_FALSE(wait.futex->timed);
    CHECK_FALSE(wait.futex->bitset);
    CHECK_FALSE(wait.futex->pi);
  }
}

TEST_CASE("FUTEX_WAIT_BITSET: with and without the real-time clock", "[waits][futex]") {
  for (int clock : {0, FUTEX_CLOCK_REALTIME}) {
    const Wait wait = futex(FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | clock, 0);
    REQUIRE(wait.futex);
    CHECK(wait.for_ever);
    CHECK(wait.futex->bitset);
    CHECK(wait.futex->is_private);
    CHECK_FALSE(wait.futex->pi);
  }
}

TEST_CASE("a futex wait with a time limit is not for ever", "[waits][futex]") {
  for (int operation : {FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
                        FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI}) {
    INFO(operation);
    const Wait wait = futex(operation | FUTEX_PRIVATE_FLAG, 2, kPointer);
    REQUIRE(wait.futex);
    CHECK_FALSE(wait.for_ever);
    CHECK(wait.futex->timed);
    CHECK(wait.does.find("limited time") != std::string::npos);
  }
}

TEST_CASE("the expected value has 32 bits, whatever the register holds above", "[waits][futex]") {
  const Wait wait = futex(FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0xdeadbeef00000002);
  REQUIRE(wait.futex);
  CHECK(wait.futex->expected == 2);
}

TEST_CASE("FUTEX_LOCK_PI, FUTEX_LOCK_PI2: the kernel knows the owner", "[waits][futex]") {
  for (int operation : {FUTEX_LOCK_PI, FUTEX_LOCK_PI2}) {
    const Wait wait = futex(operation | FUTEX_PRIVATE_FLAG, 0);
    REQUIRE(wait.futex);
    CHECK(wait.futex->pi);
    CHECK(wait.for_ever);
  }
}

TEST_CASE("FUTEX_WAIT_REQUEUE_PI waits on the first word, without an owner", "[waits][futex]") {
  const Wait wait = futex(FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 4);
  REQUIRE(wait.futex);
  CHECK(wait.futex->address == kWord);
  CHECK(wait.futex->expected == 4);
  CHECK_FALSE(wait.futex->pi);
}

TEST_CASE("operations that wake or requeue are no waits", "[waits][futex]") {
  for (int operation :
       {FUTEX_WAKE, FUTEX_FD, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_UNLOCK_PI,
        FUTEX_TRYLOCK_PI, FUTEX_WAKE_BITSET, FUTEX_CMP_REQUEUE_PI, 14, 127}) {
    INFO(operation);
    const Wait wait = futex(operation | FUTEX_PRIVATE_FLAG);
    CHECK(wait.kind != WaitKind::kFutex);
    CHECK_FALSE(wait.futex);
    CHECK_FALSE(wait.for_ever);
  }
}

TEST_CASE("futex_wait(2): mask, flags and limit are in their own places", "[waits][futex]") {
  for (Abi abi : {Abi::kX86_64, Abi::kGeneric64}) {
    // 2: FUTEX2_SIZE_U32
    Wait wait = wait_of(in_call(kFutexWait2, {kWord, 7, UINT32_MAX, 2 | FUTEX_PRIVATE_FLAG}), abi);
    REQUIRE(wait.futex);
    CHECK(wait.for_ever);
    CHECK(wait.futex->address == kWord);
    CHECK(wait.futex->expected == 7);
    CHECK(wait.futex->is_private);
    wait = wait_of(in_call(kFutexWait2, {kWord, 7, UINT32_MAX, 2, kPointer, 1}), abi);
    REQUIRE(wait.futex);
    CHECK_FALSE(wait.for_ever);
    CHECK_FALSE(wait.futex->is_private);
    CHECK(wait.futex->timed);
  }
}

TEST_CASE("futex_waitv(2): one of several words, of which none is the lock", "[waits][futex]") {
  Wait wait = wait_of(in_call(kFutexWaitV, {kPointer, 3, 0, 0}), Abi::kX86_64);
  CHECK(wait.kind == WaitKind::kFutex);
  CHECK_FALSE(wait.futex);
  CHECK(wait.for_ever);
  wait = wait_of(in_call(kFutexWaitV, {kPointer, 3, 0, kPointer}), Abi::kGeneric64);
  CHECK_FALSE(wait.for_ever);
}

TEST_CASE("stopped, ended and running threads wait for no futex, whatever call is shown",
          "[waits]") {
  ThreadEvidence thread = in_call(kFutexX86, {kWord, 0x80, 2});
  for (char state : {'T', 't'}) {
    thread.state = state;
    const Wait wait = wait_of(thread, Abi::kX86_64);
    CHECK(wait.kind == WaitKind::kStopped);
    CHECK_FALSE(wait.futex);
    CHECK_FALSE(wait.for_ever);
  }
  CHECK(wait_of(thread, Abi::kX86_64).does.find("debugger") != std::string::npos);
  for (char state : {'Z', 'X'}) {
    thread.state = state;
    const Wait wait = wait_of(thread, Abi::kX86_64);
    CHECK(wait.kind == WaitKind::kOutside);
    CHECK_FALSE(wait.futex);
    CHECK_FALSE(wait.for_ever);
  }
  thread.state = 'R';
  thread.running = true;
  CHECK(wait_of(thread, Abi::kX86_64).kind == WaitKind::kRunning);
  CHECK_FALSE(wait_of(thread, Abi::kX86_64).futex);
}

TEST_CASE("a thread whose call cannot be read is not known to wait", "[waits]") {
  ThreadEvidence thread;
  thread.state = 'S';
  const Wait wait = wait_of(thread, Abi::kX86_64);
  CHECK(wait.kind == WaitKind::kUnknown);
  CHECK_FALSE(wait.for_ever);
  CHECK_FALSE(wait.futex);
}
