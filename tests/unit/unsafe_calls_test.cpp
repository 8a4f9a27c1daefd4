// The table of calls that a forked child may not make: docs/unsafe-calls.md says the same, and its
// rows do not contradict each other.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "detector/record/unsafe_calls.hpp"
#include "detector/verdict/libc_calls.hpp"

using namespace forkscope;
using namespace forkscope::record;

namespace {

std::string use_words(LibcUse use) {
  switch (use) {
    case LibcUse::noted:
    case LibcUse::hooked:
      return "noted";
    case LibcUse::takes:
      return "noted, needs the lock";
    case LibcUse::exclusive:
      return "tracked";
    case LibcUse::shared:
      return "tracked, as a reader";
    case LibcUse::own:
      return "tracked, a lock of its own";
  }
  return "";
}

std::string hung_words(Hung hung) {
  switch (hung) {
    case Hung::hangs:
      return "hangs";
    case Hung::dies:
      return "dies";
    case Hung::never:
      return "goes on";
    case Hung::untried:
      return "not tried";
  }
  return "";
}

std::string family_row(const LibcFamilyFacts& family) {
  const std::string since =
      *family.since == '\0' ? "" : fmt::format(", reset from glibc {} on", family.since);
  return fmt::format("| {} | {} | {}{} | {} |", family.words, family.lock,
                     at_fork_word(family.at_fork), since, family.cure);
}

std::string call_row(const UnsafeCallFacts& call) {
  return fmt::format("| `{}` | {} | {} | {} |", call.name, facts_of(call.family).words,
                     use_words(call.use), hung_words(call.hung));
}

/// The rows of the page's tables, without their heads.
std::set<std::string> rows_of_page() {
  std::ifstream page(FORKSCOPE_TEST_DATA "/../../docs/unsafe-calls.md");
  std::set<std::string> rows;
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| ") && !line.starts_with("| family |") &&
        !line.starts_with("| function |"))
      rows.insert(line);
  return rows;
}

}  // namespace

TEST_CASE("docs/unsafe-calls.md has the rows of the table, and no others", "[unsafe-calls]") {
  std::set<std::string> expected;
  std::ostringstream page;  // what to put there when this fails
  for (const LibcFamilyFacts& family : kLibcFamilies) {
    expected.insert(family_row(family));
    page << family_row(family) << "\n";
  }
  for (std::size_t i = 1; i < kUnsafeCallCount; ++i) {
    expected.insert(call_row(kUnsafeCalls[i]));
    page << call_row(kUnsafeCalls[i]) << "\n";
  }
  INFO(page.str());
  CHECK(rows_of_page() == expected);
}

TEST_CASE("what is tracked takes a lock that fork keeps, and nothing else hangs",
          "[unsafe-calls]") {
  std::set<std::string> names;
  for (std::size_t i = 1; i < kUnsafeCallCount; ++i) {
    const UnsafeCallFacts& call = kUnsafeCalls[i];
    INFO(call.name);
    CHECK(names.insert(call.name).second);
    const bool kept = facts_of(call.family).at_fork == AtFork::kNotReset;
    if (is_tracked(UnsafeCall(i))) CHECK(kept);
    if (call.hung == Hung::hangs) CHECK(kept);
  }
}

TEST_CASE("a call meets those that take its lock, not other readers, not locks of their own",
          "[unsafe-calls]") {
  using Call = UnsafeCall;
  CHECK(meet_in_libc(Call::localtime_r, Call::mktime));
  CHECK(meet_in_libc(Call::setenv, Call::putenv));
  CHECK_FALSE(meet_in_libc(Call::localtime_r, Call::setenv));
  CHECK(meet_in_libc(Call::gettext, Call::bindtextdomain));
  CHECK(meet_in_libc(Call::bindtextdomain, Call::gettext));
  CHECK_FALSE(meet_in_libc(Call::gettext, Call::dgettext));
  CHECK(meet_in_libc(Call::getpwnam, Call::getpwnam));
  CHECK_FALSE(meet_in_libc(Call::getpwnam, Call::getgrnam));
  CHECK(meet_in_libc(Call::exit, Call::__cxa_atexit));
  CHECK_FALSE(meet_in_libc(Call::__cxa_atexit, Call::exit));
  CHECK_FALSE(meet_in_libc(Call::malloc, Call::malloc));
  CHECK_FALSE(meet_in_libc(Call::localtime_r, Call::none));
  CHECK_FALSE(meet_in_libc(Call::none, Call::none));
}
