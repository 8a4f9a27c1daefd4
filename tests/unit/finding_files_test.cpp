// SARIF and JUnit: what code-scanning services demand of the documents, and where findings are put.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "detector/report/code_places.hpp"
#include "detector/report/junit.hpp"
#include "detector/report/sarif.hpp"

using namespace forkscope;
using nlohmann::json;

namespace {

Frame frame(const std::string& function, const std::string& file, int line,
            const std::string& module = "/src/app/build/server") {
  Frame f;
  f.module = module;
  f.function = function;
  f.file = file;
  f.line = line;
  return f;
}

/// The lock is the program's own.
Finding own_lock() {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = "deadlock";
  f.program = "server";
  f.verdict = "waits for ever for mutex cache.lock";
  f.lock.type = "mutex";
  f.lock.symbol = "cache.lock";
  f.holder.name = "filler";
  f.holder.acquired = {frame("pthread_mutex_lock", "", 0, "/usr/lib/libc.so.6"),
                       frame("fill()", "/src/app/cache.cpp", 30)};
  f.fork_stack = {frame("start()", "/src/app/main.cpp", 12), frame("main", "/src/app/main.cpp", 40)};
  f.waiter.stack = {frame("look_up()", "/src/app/cache.cpp", 55),
                    frame("main", "/src/app/main.cpp", 41)};
  f.cure = "Start the process with posix_spawn().";
  f.fingerprint = "v1-3f0c2a9be1d45c07";
  return f;
}

/// The child hangs inside an installed library.
Finding lock_of_library() {
  Finding f = own_lock();
  f.waiter.stack = {frame("log()", "/build/liblog/log.c", 7, "/usr/lib/liblog.so"),
                    frame("main", "/src/app/main.cpp", 41)};
  f.fingerprint = "v1-0000000000000001";
  return f;
}

json sarif(const std::vector<const Finding*>& findings, SarifOptions options = {}) {
  options.root = "/src/app";
  options.fallback = "server";
  return json::parse(findings_sarif(findings, options));
}

json only_result(const Finding& finding) { return sarif({&finding}).at("runs")[0].at("results")[0]; }

std::string uri_of(const json& result) {
  REQUIRE(result.at("locations").size() == 1);
  return result.at("locations")[0].at("physicalLocation").at("artifactLocation").at("uri");
}

/// Each physicalLocation: a relative URI, and all four fields of a region that is not empty.
std::size_t check_places(const json& value) {
  std::size_t count = 0;
  if (value.is_object() && value.contains("physicalLocation")) {
    const json& place = value.at("physicalLocation");
    const std::string uri = place.at("artifactLocation").at("uri");
    CHECK_FALSE(uri.empty());
    CHECK(uri.front() != '/');
    CHECK(uri.find(':') == std::string::npos);
    const json& region = place.at("region");
    CHECK(region.at("startLine").get<int>() >= 1);
    CHECK(region.at("startColumn") == 1);
    CHECK(region.at("endLine").get<int>() == region.at("startLine").get<int>() + 1);
    CHECK(region.at("endColumn") == 1);
    ++count;
  }
  if (value.is_structured())
    for (const json& inside : value) count += check_places(inside);
  return count;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

}  // namespace

TEST_CASE("sarif: every place is a relative URI with all four fields") {
  const Finding own = own_lock(), library = lock_of_library();
  CHECK(check_places(sarif({&own, &library})) == 2 + 6 + 6);
}

TEST_CASE("sarif: a finding is put where the repository meets the lock, or else where it forks") {
  CHECK(uri_of(only_result(own_lock())) == "cache.cpp");
  CHECK(uri_of(only_result(lock_of_library())) == "main.cpp");
  const json place = only_result(lock_of_library()).at("locations")[0].at("physicalLocation");
  CHECK(place.at("region").at("startLine") == 12);
}

TEST_CASE("sarif: a finding of which no frame is in the repository has a place all the same") {
  Finding f = lock_of_library();
  f.fork_stack = {};
  f.holder.acquired = {};
  f.waiter.stack.pop_back();
  CHECK(uri_of(only_result(f)) == "server");
}

TEST_CASE("sarif: holder, fork and child are thread flows, from the outermost call inwards") {
  const json flows = only_result(own_lock()).at("codeFlows")[0].at("threadFlows");
  REQUIRE(flows.size() == 3);
  CHECK(flows[0].at("id") == "holder");
  CHECK(flows[1].at("id") == "fork");
  CHECK(flows[2].at("id") == "child");
  const json& held = flows[0].at("locations");
  CHECK(held[0].at("location").at("message").at("text") == "fill() in server");
  // libc's frame stands at the line that called it.
  const json& inner = held[1].at("location");
  CHECK(inner.at("message").at("text") == "pthread_mutex_lock in libc.so.6");
  CHECK(inner.at("physicalLocation").at("region").at("startLine") == 30);
}

TEST_CASE("sarif: the fingerprint is ours, and what is unidentified has none") {
  const json result = only_result(own_lock());
  CHECK(result.at("partialFingerprints").at("primaryLocationLineHash") == "3f0c2a9be1d45c07:1");
  Finding f = own_lock();
  f.fingerprint = "unidentified";
  CHECK(only_result(f).at("partialFingerprints").empty());
}

TEST_CASE("sarif: only what is proven is an error") {
  Finding f = own_lock();
  CHECK(only_result(f).at("level") == "error");
  f.severity = "latent";
  CHECK(only_result(f).at("level") == "warning");
  f.severity = "hazard";
  CHECK(only_result(f).at("level") == "note");
  f.certainty = "probable";
  CHECK(only_result(f).at("level") == "warning");
  f.outcome = "came back";
  CHECK(only_result(f).at("level") == "note");
}

TEST_CASE("sarif: results refer to their rule, which is listed once") {
  Finding own = own_lock(), library = lock_of_library(), lost = own_lock();
  lost.kind = "lost-thread";
  const json run = sarif({&own, &library, &lost}).at("runs")[0];
  const json& rules = run.at("tool").at("driver").at("rules");
  REQUIRE(rules.size() == 2);
  for (const json& result : run.at("results"))
    CHECK(rules[result.at("ruleIndex").get<std::size_t>()].at("id") == result.at("ruleId"));
}

TEST_CASE("sarif: texts have at most 1,024 characters, whatever a program is called") {
  Finding f = own_lock();
  f.verdict = std::string(3000, 'v');
  f.cure = "\xff\xfe and " + std::string(3000, 'c');
  const std::string text = only_result(f).at("message").at("text");
  CHECK(text.size() <= 1024);
  CHECK(text.size() > 1000);
}

TEST_CASE("sarif: what exceeds the limits is left out from the end, and said") {
  const Finding f = own_lock();
  const std::vector<const Finding*> many(7000, &f);
  const json run = sarif(many).at("runs")[0];
  CHECK(run.at("results").size() <= 5000);
  const json& notes = run.at("invocations")[0].at("toolExecutionNotifications");
  const std::string said = notes[0].at("message").at("text");
  CHECK(said.starts_with(std::to_string(7000 - run.at("results").size()) + " findings"));

  SarifOptions small;
  small.root = "/src/app";
  small.fallback = "server";
  small.most_bytes = 300'000;
  const std::string text = findings_sarif(many, small);
  CHECK(text.size() <= small.most_bytes);
  CHECK(json::parse(text).at("runs")[0].at("results").size() > 10);
}

TEST_CASE("sarif: without findings the document is whole, so that a service closes old alerts") {
  const json run = sarif({}).at("runs")[0];
  CHECK(run.at("results").is_array());
  CHECK(run.at("results").empty());
  CHECK_FALSE(run.at("invocations")[0].contains("toolExecutionNotifications"));
}

TEST_CASE("code places: installed packages and what lies beside the root are not the repository's") {
  CHECK(place_under("/src/app", "/src/app/a/../b.py", 3)->path == "b.py");
  CHECK(place_under("/src/app", "b.py", 0)->line == 1);
  for (const char* file : {"/src/app2/b.py", "/usr/lib/x.c", "../x.c", "<string>", "",
                           "/src/app/.venv/lib/python3.11/site-packages/torch/x.py"}) {
    CAPTURE(file);
    CHECK_FALSE(place_under("/src/app", file, 3));
  }
}

TEST_CASE("code places: names with blanks and percent signs are escaped in URIs") {
  Finding f = own_lock();
  f.waiter.stack = {frame("f()", "/src/app/my 100%.cpp", 1)};
  CHECK(uri_of(only_result(f)) == "my%20100%25.cpp");
}

TEST_CASE("junit: what may hang fails, what is accepted is skipped, the rest passes") {
  Finding dead = own_lock(), latent = own_lock(), hazard = own_lock(), known = own_lock();
  latent.severity = "latent";
  hazard.severity = "hazard";
  known.known = true;
  const std::string text = findings_junit({&dead, &latent, &hazard, &known}, "run");
  CHECK(text.find("tests=\"5\" failures=\"2\" errors=\"0\" skipped=\"1\"") != std::string::npos);
  CHECK(occurrences(text, "<failure ") == 2);
  CHECK(occurrences(text, "<skipped ") == 1);
  CHECK(occurrences(text, "<system-out>") == 1);
}

TEST_CASE("junit: class name and name are unique, and nothing of one run is in them") {
  Finding first = own_lock(), second = own_lock();
  first.process = 4711;
  second.process = 4712;
  const std::string text = findings_junit({&first, &second}, "run");
  std::set<std::string> names;
  const std::string begin = "<testcase ";
  for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at + 1))
    names.insert(text.substr(at, text.find(" time", at) - at));
  CHECK(names.size() == 3);
  CHECK(text.find("471") == std::string::npos);
}

TEST_CASE("junit: markup and control characters of names do not break the document") {
  Finding f = own_lock();
  f.verdict = "waits for <a&b> \"c\" \x1b[31m";
  f.cure = "one\ntwo";
  const std::string text = findings_junit({&f}, "run");
  CHECK(text.find("waits for &lt;a&amp;b&gt; &quot;c&quot; ?[31m") != std::string::npos);
  CHECK(text.find("one\ntwo\n") != std::string::npos);
}
