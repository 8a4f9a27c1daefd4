// Calls of libc that a forked child may not make: each function of the table is provoked, and what
// the table says of glibc is tried. unsafe_probe says what each of its modes does.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "detector/record/unsafe_calls.hpp"
#include "tests/process/cli_run.hpp"

using namespace cli_test;
using namespace forkscope::record;
using Json = nlohmann::json;

namespace {

/// Most children of a fork in the middle; the functions that hang do so within some ten.
constexpr const char* kRoundsToHang = "1000";
constexpr const char* kRoundsOfNever = "300";
/// Of the sixty functions that hang: some have their lock for an instant only.
constexpr int kSurelyHang = 40;
constexpr int kHung = 10, kNeverHung = 12;

std::vector<std::string> unsafe_probe(std::vector<std::string> mode) {
  mode.insert(mode.begin(), UNSAFE_PROBE);
  return mode;
}

Json report_of(std::vector<std::string> options, const std::vector<std::string>& mode, int exit) {
  TemporaryFolder folder;
  options.push_back("--json=" + (folder / "report"));
  const Ended ended = run(forkscope_run(options, unsafe_probe(mode)));
  INFO(ended.errors);
  CHECK(ended.exit() == exit);
  return Json::parse(read_file(folder / "report"));
}

std::vector<Json> findings_of(const Json& report, const std::string& severity) {
  std::vector<Json> found;
  for (const Json& finding : report.at("findings"))
    if (finding.at("severity") == severity) found.push_back(finding);
  return found;
}

/// Whether the function that does nothing but this call is in the stack.
bool is_called_by(const Json& finding, const std::string& function) {
  for (const Json& frame : finding.at("waiter").at("stack"))
    if (frame.at("function").is_string() &&
        frame.at("function").get<std::string>().find("call_" + function + "(") != std::string::npos)
      return true;
  return false;
}

std::string source_of(const UnsafeCallFacts& facts) {
  if (facts.use == LibcUse::own) return facts.name;
  return kLibcFamilies[std::size_t(facts.family)].words;
}

}  // namespace

TEST_CASE("each function of the table is a note that names it, where it was called") {
  const Json report = report_of({}, {"notes"}, 0);
  CHECK(findings_of(report, "deadlock").empty());
  CHECK(findings_of(report, "hazard").empty());
  const std::vector<Json> notes = findings_of(report, "note");
  for (std::size_t i = 1; i < kUnsafeCallCount; ++i) {
    const std::string name = kUnsafeCalls[i].name;
    const LibcFamilyFacts& family = facts_of(kUnsafeCalls[i].family);
    INFO(name);
    const auto note = std::find_if(notes.begin(), notes.end(), [&](const Json& finding) {
      return finding.at("libc").at("function") == name && is_called_by(finding, name);
    });
    REQUIRE(note != notes.end());
    CHECK(note->at("kind") == "unsafe-call");
    CHECK(note->at("evidence") == "forked-child");
    CHECK(note->at("waiter").at("call") == name);
    CHECK(note->at("libc").at("family") == family.words);
    CHECK(note->at("libc").at("lock") == family.lock);
    CHECK(note->at("libc").at("at_fork") == (family.at_fork == AtFork::kReset ? "reset" : "kept"));
    CHECK(note->at("explanation").get<std::string>().find(family.lock) != std::string::npos);
    CHECK(note->at("cure").get<std::string>().find(family.cure) == 0);
    CHECK_FALSE(note->at("fork_stack").empty());
  }
}

TEST_CASE("the same calls in the child of a process without threads are nothing to report") {
  CHECK(report_of({}, {"alone"}, 0).at("findings").empty());
}

TEST_CASE("a child that does what it may, and one that executes a program, are nothing to report") {
  CHECK(report_of({}, {"safe"}, 0).at("findings").empty());
}

TEST_CASE("many children that call at one place are one note with their number") {
  const Json report = report_of({}, {"many", "2000"}, 0);
  REQUIRE(report.at("findings").size() == 1);
  CHECK(report.at("findings").front().at("count") == 2000);
  CHECK(report.at("summary").at("notes") == 1);
  CHECK(report.at("summary").at("dropped_records") == 0);
}

TEST_CASE("a child that calls at one place 100,000 times is counted once, and malloc is one call") {
  const Json report = report_of({}, {"flood", "100000"}, 0);
  REQUIRE(report.at("findings").size() == 2);
  for (const Json& finding : report.at("findings")) CHECK(finding.at("count") == 1);
}

TEST_CASE("notes are one line together, and --unsafe-calls=off leaves them out") {
  const Ended ended = run(forkscope_run({}, unsafe_probe({"flood", "1"})));
  CHECK(ended.errors.find("forkscope: 2 notes, none of them a deadlock (--verbose shows them)\n") !=
        std::string::npos);
  CHECK(ended.errors.find("localtime_r") == std::string::npos);
  CHECK(report_of({"--unsafe-calls=off"}, {"notes"}, 0).at("findings").empty());
  CHECK(run(forkscope_run({"--unsafe-calls=maybe"}, unsafe_probe({"safe"}))).exit() == 125);
}

TEST_CASE("what the table says of glibc is what happens in the middle of a call") {
  int hung = 0;
  for (std::size_t i = 1; i < kUnsafeCallCount; ++i) {
    const UnsafeCallFacts& facts = kUnsafeCalls[i];
    if (facts.hung != Hung::hangs && facts.hung != Hung::never) continue;
    const bool hangs = facts.hung == Hung::hangs;
    INFO(facts.name << " of " << source_of(facts));
    const Ended ended =
        run(unsafe_probe({"middle", facts.name, hangs ? kRoundsToHang : kRoundsOfNever}));
    if (hangs && ended.exit() == kNeverHung) {
      WARN(facts.name << ": no child met its lock taken this time");
      continue;
    }
    CHECK(ended.exit() == (hangs ? kHung : kNeverHung));
    hung += hangs;
  }
  CHECK(hung >= kSurelyHang);
}

TEST_CASE(
    "a child that hangs in such a call is one deadlock with both functions and both threads") {
  int hung = 0;
  for (std::size_t i = 1; i < kUnsafeCallCount; ++i) {
    const UnsafeCallFacts& facts = kUnsafeCalls[i];
    if (facts.hung != Hung::hangs || !is_tracked(UnsafeCall(i))) continue;
    INFO(facts.name);
    TemporaryFolder folder;
    const Ended ended = run(forkscope_run({"--on-deadlock=kill", "--json=" + (folder / "report")},
                                          unsafe_probe({"middle", facts.name, kRoundsToHang})));
    if (ended.exit() == kNeverHung) {
      WARN(facts.name << ": no child met its lock taken this time");
      continue;
    }
    INFO(ended.errors);
    CHECK(ended.exit() == kHung);
    ++hung;
    const Json report = Json::parse(read_file(folder / "report"));
    const std::vector<Json> deadlocks = findings_of(report, "deadlock");
    REQUIRE(deadlocks.size() == 1);
    const Json& finding = deadlocks.front();
    CHECK(finding.at("kind") == "libc-lock");
    CHECK(finding.at("certainty") == "proven");
    // glibc's read-write locks name who has them for writing: of two threads the right one, of
    // which no more may be known.
    const bool named = finding.at("evidence") == "owner-word";
    if (!named) CHECK(finding.at("evidence") == "nobody-left");
    CHECK(finding.at("outcome") == "killed");
    REQUIRE(finding.contains("libc"));
    // The function itself, or one that its caller needs as well: popen of pclose.
    const std::string function = finding.at("libc").at("function");
    CHECK(source_of(facts) == (facts.use == LibcUse::own
                                   ? function
                                   : finding.at("libc").at("family").get<std::string>()));
    CHECK(finding.at("waiter").at("call") == function);
    CHECK(is_called_by(finding, facts.name));
    const Json& name = finding.at("holder").at("name");
    CHECK((named || (name.is_string() && name.get<std::string>().find("caller-") == 0)));
    CHECK_FALSE(finding.at("fork_stack").empty());
    CHECK(finding.at("verdict").get<std::string>().find(function + "()") != std::string::npos);
    const Json& inside = finding.at("libc").at("holder_function");
    CHECK((named || inside.is_string()));
    if (!inside.is_string()) continue;
    CHECK_FALSE(finding.at("holder").at("acquired").empty());
    CHECK(finding.at("verdict").get<std::string>().find(inside.get<std::string>() + "()") !=
          std::string::npos);
  }
  CHECK(hung >= kSurelyHang);
}
