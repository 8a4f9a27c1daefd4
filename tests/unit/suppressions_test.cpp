// Suppression rules: what they match, and what is wrong with a file.
#include "detector/verdict/suppressions.hpp"

#include <catch2/catch.hpp>
#include <functional>

using namespace forkscope;
using Catch::Contains;
using Catch::Matches;

namespace {

Frame frame(const std::string& function) {
  Frame f;
  f.function = function;
  f.module = "/opt/app/reader";
  return f;
}

Finding finding() {
  Finding f;
  f.kind = "orphaned-lock";
  f.lock = {0x1000, "mutex", "orders.file_lock", "/opt/lib/libtable.so.3", 0x10};
  f.lock.name = "orders table";
  f.holder.start = frame("worker_main(Pool&)");
  f.holder.acquired = {frame("take_lock")};
  f.holder.creator = {frame("start_readers(int)")};
  f.holder.now = {frame("now_here")};
  f.holder.python = {{"Reader.run", "reader.py", 3}};
  f.waiter.stack = {frame("std::mutex::lock()"), frame("Table::read(int) const")};
  f.waiter.python = {{"Writer.run", "writer.py", 3}};
  f.fork_stack = {frame("spawn_worker")};
  return f;
}

bool matches(const std::string& rule) {
  const auto rules = parse_suppressions(rule, "f");
  REQUIRE(rules.size() == 1);
  return forkscope::matches(rules[0], finding());
}

std::string error_of(const std::string& text) {
  try {
    parse_suppressions(text, "a.supp");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a pattern is compared with the whole text", "[suppressions]") {
  CHECK(matches_pattern("", ""));
  CHECK(matches_pattern("abc", "abc"));
  CHECK_FALSE(matches_pattern("abc", "abcd"));
  CHECK_FALSE(matches_pattern("abc", "ab"));
  CHECK(matches_pattern("a?c", "abc"));
  CHECK_FALSE(matches_pattern("a?c", "ac"));
  CHECK(matches_pattern("*", ""));
  CHECK(matches_pattern("a*", "abc"));
  CHECK(matches_pattern("*c", "abc"));
  CHECK(matches_pattern("a*b*c", "a-b-b-c"));
  CHECK_FALSE(matches_pattern("a*b*c", "a-b-b-d"));
  CHECK(matches_pattern("operator[]*", "operator[](int)"));
  CHECK_FALSE(matches_pattern("[ab]", "a"));
}

TEST_CASE("a hostile pattern takes no exponential time", "[suppressions]") {
  const std::string text(20000, 'a');
  CHECK_FALSE(matches_pattern("*a*a*a*a*a*a*a*a*a*a*b", text));
}

TEST_CASE("a rule matches the lock, its module and the functions of every stack",
          "[suppressions]") {
  for (const char* pattern :
       {"orders.file_lock", "orders.*", "orders table", "libtable.so.3", "/opt/lib/*",
        "worker_main", "take_lock", "start_readers", "now_here", "Reader.run", "Table::read",
        "Table::read(int) const", "Writer.run", "spawn_worker"}) {
    INFO(pattern);
    CHECK(matches("orphaned-lock:" + std::string(pattern)));
    CHECK(matches("*:" + std::string(pattern)));
    CHECK_FALSE(matches("lost-thread:" + std::string(pattern)));
  }
  for (const char* pattern : {"orders", "read", "reader.cpp", "mutex", "orphaned-lock"}) {
    INFO(pattern);
    CHECK_FALSE(matches("*:" + std::string(pattern)));
  }
}

TEST_CASE("what a finding does not have matches nothing, not even *", "[suppressions]") {
  Finding bare;
  bare.kind = "fork-bypass";
  CHECK_FALSE(forkscope::matches({"*", "*", "f", 1}, bare));
}

TEST_CASE("comments, blanks and line ends of other systems are passed over", "[suppressions]") {
  const auto rules = parse_suppressions(
      "# all of it\n\n  orphaned-lock:lib foo* \t# why\r\n*:main::{lambda()#1}::operator()\n   \n"
      "lost-thread:Pool::wait",
      "f.supp");
  REQUIRE(rules.size() == 3);
  CHECK(rules[0].kind == "orphaned-lock");
  CHECK(rules[0].pattern == "lib foo*");
  CHECK(rules[0].line == 3);
  CHECK(rules[1].kind == "*");
  CHECK(rules[1].pattern == "main::{lambda()#1}::operator()");
  CHECK(rules[1].line == 4);
  CHECK(rules[2].pattern == "Pool::wait");
  CHECK(rules[2].file == "f.supp");
  CHECK(parse_suppressions("", "f").empty());
  CHECK(parse_suppressions("# nothing\n", "f").empty());
}

TEST_CASE("a wrong rule is named with what was expected", "[suppressions]") {
  CHECK(error_of("\n# x\nlibfoo*\n") ==
        "a.supp:3: 'libfoo*' has no kind; expected kind:pattern, as in orphaned-lock:libfoo* or "
        "*:Logger::write");
  CHECK_THAT(error_of("Logger::write"), Contains("a.supp:1: 'Logger::write' has no kind"));
  CHECK_THAT(error_of("race:foo"), Contains("a.supp:1: 'race' is no kind of finding; expected * or "
                                            "one of orphaned-lock, lost-thread, "));
  CHECK_THAT(error_of("deadlock:foo"), Contains("is no kind of finding"));
  CHECK_THAT(error_of("*:foo\norphaned-lock:  # all\n"),
             Contains("a.supp:2: 'orphaned-lock:' has nothing after the colon"));
  CHECK_THAT(error_of(":foo"), Contains("'' is no kind of finding"));
}

TEST_CASE("every rule that matches has a hit, weighted by how many children", "[suppressions]") {
  const auto rules = parse_suppressions("*:take_lock\n*:elsewhere\norphaned-lock:*read*\n", "f");
  std::vector<RuleUse> uses = unused(rules);
  Finding three = finding();
  three.count = 3;
  CHECK(is_suppressed(three, rules, uses));
  CHECK(is_suppressed(finding(), rules, uses));
  CHECK(uses[0].hits == 4);
  CHECK(uses[1].hits == 0);
  CHECK(uses[2].hits == 4);
  CHECK(uses[2].rule == "orphaned-lock:*read*");
  CHECK(uses[2].line == 3);
}
