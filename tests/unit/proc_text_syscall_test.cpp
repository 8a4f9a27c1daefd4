// /proc/PID/task/TID/syscall as kernels write it.
#include <catch2/catch.hpp>
#include <string>

#include "detector/inspect/proc_text.hpp"

using namespace forkscope;

TEST_CASE("syscall: number, six arguments, stack and instruction pointer", "[proc_text]") {
  const auto text = parse_syscall(
      "202 0x7fa759416c34 0x189 0x0 0x0 0x0 0xffffffff 0x7fa758dfec10 0x7fa7620a3f16\n");
  REQUIRE(text);
  CHECK_FALSE(text->running);
  CHECK(text->call.number == 202);
  CHECK(text->call.arguments[0] == 0x7fa759416c34);
  CHECK(text->call.arguments[1] == 0x189);
  CHECK(text->call.arguments[2] == 0);
  CHECK(text->call.arguments[5] == 0xffffffff);
  CHECK(text->call.sp == 0x7fa758dfec10);
  CHECK(text->call.pc == 0x7fa7620a3f16);
}

TEST_CASE("syscall: system call 0 is read(2), not nothing", "[proc_text]") {
  const auto text = parse_syscall("0 0x3 0x7ffe 0x1 0x0 0x0 0x0 0x7ffe12200e18 0x7f4f10af1dd0\n");
  REQUIRE(text);
  CHECK(text->call.number == 0);
  CHECK(text->call.arguments[0] == 3);
}

TEST_CASE("syscall: a running thread is in none", "[proc_text]") {
  const auto text = parse_syscall("running\n");
  REQUIRE(text);
  CHECK(text->running);
  CHECK(text->call.number == -1);
}

TEST_CASE("syscall: blocked in a page fault there is no number, but both pointers", "[proc_text]") {
  const auto text = parse_syscall("-1 0x7fff35402e80 0x55ec8cb0b270\n");
  REQUIRE(text);
  CHECK_FALSE(text->running);
  CHECK(text->call.number == -1);
  CHECK(text->call.sp == 0x7fff35402e80);
  CHECK(text->call.pc == 0x55ec8cb0b270);
}

TEST_CASE("syscall: a zombie's shows zeros", "[proc_text]") {
  const auto text = parse_syscall("-1 0x0 0x0\n");
  REQUIRE(text);
  CHECK(text->call.number == -1);
  CHECK(text->call.pc == 0);
}

TEST_CASE("syscall: the largest argument fits, a larger one gives nothing", "[proc_text]") {
  const std::string rest = " 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
  const auto text = parse_syscall("35 0xffffffffffffffff" + rest);
  REQUIRE(text);
  CHECK(text->call.arguments[0] == UINT64_MAX);
  CHECK_FALSE(parse_syscall("35 0x1ffffffffffffffff" + rest));
}

TEST_CASE("syscall: a text that is cut off gives nothing", "[proc_text]") {
  const std::string whole = "202 0x7fa759416c34 0x189 0x0 0x0 0x0 0xffffffff 0x7fa758dfec10 0x7";
  // Within the last number it cannot be seen.
  for (std::size_t size = 0; size <= whole.rfind(' '); ++size) {
    INFO(whole.substr(0, size));
    CHECK_FALSE(parse_syscall(std::string_view(whole).substr(0, size)));
  }
  CHECK(parse_syscall(whole));
  CHECK_FALSE(parse_syscall("-1 0x7fff35402e80"));
  CHECK_FALSE(parse_syscall("-1"));
}

TEST_CASE("syscall: fields of another line are not taken for this one's", "[proc_text]") {
  CHECK_FALSE(parse_syscall("202 0x1 0x2 0x3\n0x4 0x5 0x6 0x7 0x8\n"));
  CHECK_FALSE(parse_syscall("\n202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"));
}
