// The grammar of --inject: what is understood, and where and how what is not is refused.
#include <catch2/catch.hpp>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>

#include "detector/record/inject.hpp"
#include "detector/record/options.hpp"

using namespace forkscope;

namespace {

struct Parsed {
  Injection injection;
  InjectError error;
  bool good;
  explicit Parsed(const std::string& text)
      : good(parse_injection(text.c_str(), injection, error)) {}
};

std::string file_text(const std::string& name) {
  std::ifstream in(FORKSCOPE_TEST_DATA "/../../" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("inject: the example of every action is understood", "[inject]") {
  for (std::size_t i = 0; i < inject_action_count(); ++i) {
    const InjectActionFacts& facts = facts_of(InjectAction(i));
    CAPTURE(facts.example);
    Parsed parsed(facts.example);
    REQUIRE(parsed.good);
    CHECK(std::size_t(parsed.injection.action) == i);
    CHECK(std::string(parsed.injection.text) == facts.example);
  }
}

TEST_CASE("inject: every key is read", "[inject]") {
  Parsed held("fork:while-held,lock=libfoo*,wait=1.5s,nth=7");
  REQUIRE(held.good);
  CHECK(held.injection.action == InjectAction::kForkWhileHeld);
  CHECK(std::string(held.injection.lock) == "libfoo*");
  CHECK(held.injection.wait == 1'500'000'000);
  CHECK(held.injection.nth == 7);
  CHECK(held.injection.keys == (inject_keys::kLock | inject_keys::kWait | inject_keys::kNth));

  Parsed delay("fork:delay=20us,where=parent,every=3");
  REQUIRE(delay.good);
  CHECK(delay.injection.time == 20'000);
  CHECK(delay.injection.where == InjectWhere::kParent);
  CHECK(delay.injection.every == 3);

  Parsed hold("lock:hold=2m,p=0.05");
  REQUIRE(hold.good);
  CHECK(hold.injection.time == 120'000'000'000);
  CHECK(hold.injection.probability == kSurely / 20);

  Parsed probe("fork:probe,every=100,limit=7,wait=2s");
  REQUIRE(probe.good);
  CHECK(probe.injection.action == InjectAction::kForkProbe);
  CHECK(probe.injection.every == 100);
  CHECK(probe.injection.limit == 7);
  CHECK(probe.injection.wait == 2'000'000'000);

  CHECK(std::string(Parsed("fork:while-in,function=set*").injection.function) == "set*");
  CHECK(Parsed("exec:fail=ETXTBSY").injection.error == ETXTBSY);
}

TEST_CASE("inject: what is not said has its default", "[inject]") {
  Parsed parsed("fork:while-held");
  REQUIRE(parsed.good);
  CHECK(parsed.injection.wait == kDefaultInjectWait);
  CHECK(parsed.injection.probability == kSurely);
  CHECK(parsed.injection.nth == 0);
  CHECK(parsed.injection.lock[0] == '\0');
  CHECK(Parsed("thread:slow-start").injection.time == kDefaultSlowStart);
  CHECK(Parsed("fork:delay=1").injection.where == InjectWhere::kBefore);
  CHECK(Parsed("fork:probe").injection.limit == kDefaultProbes);
}

TEST_CASE("inject: a backslash takes a comma literally", "[inject]") {
  Parsed parsed("lock:yield,lock=f(int\\, char)\\\\,p=1");
  REQUIRE(parsed.good);
  CHECK(std::string(parsed.injection.lock) == "f(int, char)\\");
  CHECK(parsed.injection.probability == kSurely);
}

TEST_CASE("inject: a mistake is told with its position and what was expected", "[inject]") {
  struct Mistake {
    const char* text;
    std::size_t position;
    const char* expected;
  };
  const Mistake mistakes[] = {
      {"", 1, "expected one of fork, vfork, clone, posix_spawn, exec, pthread_create, lock"},
      {"frok:fail=EAGAIN", 1, "'frok' is no point"},
      {"fork", 5, "expected ':' and an action of fork: while-held, while-in, fail=ERRNO, delay=T"},
      {"fork:", 6, "expected one of while-held"},
      {"fork:while-hold", 6, "'while-hold' is no action of fork"},
      {"vfork:while-held", 7, "'while-held' is no action of vfork; expected one of fail=ERRNO"},
      {"fork:while-held=1", 16, "while-held takes no value"},
      {"fork:fail", 10, "expected fail=ERRNO, as in fork:fail=EAGAIN,nth=3"},
      {"fork:fail=EPERM", 11,
       "'EPERM' is no error of fork; expected one of EAGAIN, ENOMEM, ENOSYS"},
      {"fork:fail=11", 11, "'11' is no error of fork"},
      {"pthread_create:fail=ENOMEM", 21, "expected one of EAGAIN, EINVAL, EPERM"},
      {"fork:delay", 11, "expected delay=T"},
      {"fork:delay=", 12, "'' is no time"},
      {"fork:delay=0", 12, "'0' is no time"},
      {"fork:delay=5x", 12, "'5x' is no time"},
      {"fork:delay=2h", 12, "expected one up to 1h"},
      {"fork:delay=99999999999999999999", 12, "is no time"},
      {"fork:delay=1,where=here", 20, "expected before, child or parent"},
      {"fork:while-held,", 17, "'' is no key of fork:while-held"},
      {"fork:while-held,look=x", 17, "expected one of lock, wait, nth, every, p"},
      {"fork:while-held,function=x", 17, "'function' is no key of fork:while-held"},
      {"fork:while-held,lock", 21, "expected =GLOB after lock"},
      {"fork:while-held,lock=", 22, "expected a pattern"},
      {"fork:while-held,nth=0", 21, "'0' is no count"},
      {"fork:while-held,nth=1.5", 21, "'1.5' is no count"},
      {"fork:while-held,nth=2,nth=3", 23, "nth was given before"},
      {"fork:while-held,nth=2,p=0.5", 23, "only one of nth, every and p"},
      {"lock:yield,p=0", 14, "'0' is no probability"},
      {"lock:yield,p=1.01", 14, "at most 1"},
      {"lock:yield,p=a", 14, "'a' is no probability"},
      {"fork:while-in", 14, "expected ,function=GLOB, as in fork:while-in,function=setenv"},
  };
  for (const Mistake& mistake : mistakes) {
    CAPTURE(mistake.text);
    Parsed parsed(mistake.text);
    CHECK_FALSE(parsed.good);
    CHECK(parsed.error.position == mistake.position);
    CAPTURE(parsed.error.message);
    CHECK(std::string(parsed.error.message).find(mistake.expected) != std::string::npos);
    CHECK(std::string(parsed.error.message)
              .starts_with("at character " + std::to_string(mistake.position) + ": "));
  }
}

TEST_CASE("inject: what is too long is refused, not cut off", "[inject]") {
  CHECK_FALSE(Parsed("fork:while-held,lock=" + std::string(400, 'x')).good);
  CHECK_FALSE(Parsed("fork:while-held,lock=" + std::string(200, 'x')).good);
  CHECK(Parsed("fork:while-held,lock=" + std::string(159, 'x')).good);
  CHECK_FALSE(Parsed("fork:while-held,lock=" + std::string(160, 'x')).good);
}

TEST_CASE("inject: patterns", "[inject]") {
  CHECK(inject_matches("*", ""));
  CHECK(inject_matches("lib*.so*", "libfoo.so.6"));
  CHECK(inject_matches("a?c", "abc"));
  CHECK(inject_matches("*lock", "file_lock lock"));
  CHECK_FALSE(inject_matches("", "a"));
  CHECK_FALSE(inject_matches("a?c", "ac"));
  CHECK_FALSE(inject_matches("lock", "file_lock"));
}

TEST_CASE("inject: FORKSCOPE_OPTIONS takes several, and a seed", "[inject][options]") {
  const auto parse = [](const std::string& text, Options& options) {
    OptionError error;
    const bool good = parse_options(text.c_str(), options, error);
    return good ? std::string() : std::string(error.message);
  };
  Options options;
  CHECK(parse("inject=fork:fail=EAGAIN,nth=3:inject=lock\\:yield,p=0.5:seed=77:log=none", options)
            .empty());
  REQUIRE(options.injections == 2);
  CHECK(std::string(options.inject[0].text) == "fork:fail=EAGAIN,nth=3");
  CHECK(std::string(options.inject[1].text) == "lock:yield,p=0.5");
  CHECK(options.seed == 77);
  CHECK_FALSE(options.log_stderr);

  CHECK(parse("inject=fork:fial=EAGAIN", options)
            .find("inject 'fork:fial=EAGAIN': at character 6: 'fial' is no action of fork") == 0);
  CHECK(parse("seed=-1", options).find("a whole number") != std::string::npos);
  CHECK(parse("seed=18446744073709551616", options).find("a whole number") != std::string::npos);
  std::string many;
  for (std::size_t i = 0; i <= kMaxInjections; ++i) many += "inject=fork:while-held:";
  Options none;
  CHECK(parse(many, none).find("more than 16") == 0);
}

TEST_CASE("inject: the documentation has every action, key, error and result", "[inject]") {
  for (const char* name : {"docs/injection.md", "docs/man/forkscope.1"}) {
    CAPTURE(name);
    std::string text = file_text(name);
    REQUIRE_FALSE(text.empty());
    std::erase(text, '\\');  // roff's escapes of '-'
    const auto has = [&](const std::string& part) { return text.find(part) != std::string::npos; };
    for (std::size_t i = 0; i < inject_action_count(); ++i) {
      const InjectActionFacts& facts = facts_of(InjectAction(i));
      CAPTURE(facts.point, facts.action);
      CHECK(has(std::string(facts.point) + ":" + facts.action));
    }
    for (std::size_t i = 0; i < inject_key_table().count; ++i) {
      CAPTURE(inject_key_table().first[i].name);
      CHECK(has(std::string(inject_key_table().first[i].name) + "="));
    }
  }
  const std::string page = file_text("docs/injection.md");
  for (std::size_t i = 0; i < inject_errno_table().count; ++i)
    CHECK(page.find(inject_errno_table().first[i].name) != std::string::npos);
  for (std::size_t i = 0; i < inject_result_count(); ++i)
    CHECK(page.find(facts_of(InjectResult(i)).word) != std::string::npos);
}
