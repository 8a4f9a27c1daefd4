// --sarif and --junit of `run`, `report` and `scan`.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

TEST_CASE("run and report write the same finding as SARIF and JUnit XML") {
  TemporaryFolder folder;
  run(forkscope_run({"--quiet", "--on-deadlock=kill", "--session=" + (folder / "session"),
                     "--sarif=" + (folder / "run.sarif"), "--junit=" + (folder / "run.xml")},
                    probe({"deadlock"})));
  const json sarif = json::parse(read_file(folder / "run.sarif"));
  const json& result = sarif.at("runs")[0].at("results").at(0);
  CHECK(result.at("level") == "error");
  CHECK(result.at("ruleId") == "orphaned-lock");
  CHECK(result.at("codeFlows")[0].at("threadFlows").size() == 3);
  CHECK(read_file(folder / "run.xml").find("<failure type=\"deadlock\"") != std::string::npos);

  const Ended again = run({FORKSCOPE_EXE, "report", "--sarif=" + (folder / "again.sarif"),
                           folder / "session"});
  CHECK(again.exit() == 0);
  CHECK(json::parse(read_file(folder / "again.sarif")).at("runs")[0].at("results")[0].at(
            "partialFingerprints") == result.at("partialFingerprints"));
}

TEST_CASE("a run without findings writes whole files with nothing wrong in them") {
  TemporaryFolder folder;
  run(forkscope_run({"--quiet", "--sarif=" + (folder / "sarif"), "--junit=" + (folder / "xml")},
                    {"/bin/true"}));
  CHECK(json::parse(read_file(folder / "sarif")).at("runs")[0].at("results").empty());
  CHECK(read_file(folder / "xml").find("tests=\"1\" failures=\"0\"") != std::string::npos);
}

TEST_CASE("a file for findings that cannot be written is refused before the program starts") {
  for (const std::string option : {"--sarif", "--junit"}) {
    TemporaryFolder folder;
    const Ended ended = run(forkscope_run({option + "=" + (folder / "no/such/file")},
                                          probe({"touch", folder / "started"})));
    INFO(ended.errors);
    CHECK(ended.exit() == 125);
    CHECK(ended.one_sentence_with("give another file with " + option + "=FILE"));
    CHECK_FALSE(exists(folder / "started"));
  }
}
