// FORKSCOPE_OPTIONS: what is understood, what is refused and how, and that it is documented.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "detector/record/options.hpp"

using namespace forkscope;

namespace {

struct Parsed {
  Options options;
  OptionError error;
  bool good;
  explicit Parsed(const std::string& text) : good(parse_options(text.c_str(), options, error)) {}
  bool complains_of(const std::string& part) const {
    return !good && std::string(error.message).find(part) != std::string::npos;
  }
};

}  // namespace

TEST_CASE("options: nothing said is the default", "[options]") {
  for (const char* text : {"", ":", "::"}) {
    Parsed parsed(text);
    CHECK(parsed.good);
    CHECK(parsed.options.on_deadlock == OnDeadlock::kReport);
    CHECK(parsed.options.log_stderr);
    CHECK(std::string(parsed.options.session).empty());
  }
}

TEST_CASE("options: every value of on_deadlock", "[options]") {
  CHECK(Parsed("on_deadlock=report").options.on_deadlock == OnDeadlock::kReport);
  CHECK(Parsed("on_deadlock=kill").options.on_deadlock == OnDeadlock::kKill);
  CHECK(Parsed("on_deadlock=abort").options.on_deadlock == OnDeadlock::kAbort);
  CHECK(Parsed("on_deadlock=break").options.on_deadlock == OnDeadlock::kBreak);
  Parsed exits("on_deadlock=exit:255:log=none");
  CHECK(exits.options.on_deadlock == OnDeadlock::kExit);
  CHECK(exits.options.exit_status == 255);
  CHECK_FALSE(exits.options.log_stderr);
}

TEST_CASE("options: a colon belongs to the value unless a key follows", "[options]") {
  CHECK(std::string(Parsed("session=/a:b:log=none").options.session) == "/a:b");
  CHECK(std::string(Parsed("session=/a\\:log=none").options.session) == "/a:log=none");
  CHECK(std::string(Parsed("session=/back\\\\slash").options.session) == "/back\\slash");
  CHECK(std::string(Parsed("log=none:session=/a:").options.session) == "/a");
}

TEST_CASE("options: descriptors are looked at when that is asked for", "[options]") {
  CHECK_FALSE(Parsed("").options.check_descriptors);
  CHECK(Parsed("check=descriptors").options.check_descriptors);
  CHECK_FALSE(Parsed("check=descriptors:check=none").options.check_descriptors);
  CHECK(Parsed("check=locks").complains_of("it takes descriptors or none"));
}

TEST_CASE("options: later ones win", "[options]") {
  CHECK(Parsed("on_deadlock=kill:on_deadlock=break").options.on_deadlock == OnDeadlock::kBreak);
}

TEST_CASE("options: mistakes are named", "[options]") {
  CHECK(Parsed("sesion=/x").complains_of("unknown option 'sesion'"));
  CHECK(Parsed("sesion=/x").complains_of("session on_deadlock log"));
  CHECK(Parsed("log").complains_of("'log' has no value"));
  CHECK(Parsed("log=file").complains_of("stderr or none"));
  for (const char* status : {"", "256", "-1", "x", "1x"})
    CHECK(Parsed(std::string("on_deadlock=exit:") + status).complains_of("exit:N"));
  CHECK(Parsed("session=" + std::string(2000, 'x')).complains_of("longer than 1,023"));
}

TEST_CASE("options: the man page has each of them", "[options]") {
  std::ifstream in(FORKSCOPE_TEST_DATA "/../../docs/man/forkscope.1");
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  REQUIRE_FALSE(page.empty());
#define FORKSCOPE_OPTION(name, initial, help) CHECK(page.find(#name) != std::string::npos);
#include "detector/record/options.def"
#undef FORKSCOPE_OPTION
  bool open = false;  // a display that is not ended swallows what follows
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(".Bd") || line.starts_with(".Ed")) {
      INFO(line);
      CHECK(open == line.starts_with(".Ed"));
      open = line.starts_with(".Bd");
    }
  }
  CHECK_FALSE(open);
}
