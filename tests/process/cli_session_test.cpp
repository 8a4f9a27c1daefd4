// Where the records go, what stays of them, and that the command finds its library.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

TEST_CASE("a session that was not asked for leaves nothing behind") {
  TemporaryFolder folder;
  auto prepare = [&] { setenv("TMPDIR", folder.path().c_str(), 1); };
  CHECK(run(forkscope_run({}, probe({"exit", "0"})), "", prepare).exit() == 0);
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(run(forkscope_run({}, {FORKSCOPE_PROBE_ORPHAN}), "", prepare).exit() == 127);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a session that was asked for can be reported later") {
  TemporaryFolder folder;
  std::string session = folder / "session";
  std::vector<std::string> command = probe({"exit", "7"});
  CHECK(run(forkscope_run({"--quiet", "--session=" + session}, command)).exit() == 7);
  CHECK((std::filesystem::status(session).permissions() & std::filesystem::perms::all) ==
        std::filesystem::perms::owner_all);

  Ended text = run({FORKSCOPE_EXE, "report", session});
  CHECK(text.exit() == 0);
  CHECK_FALSE(text.output.empty());
  CHECK(text.errors.empty());
  Ended json = run({FORKSCOPE_EXE, "report", "--json", "-", session});
  CHECK(json.exit() == 0);
  auto report = nlohmann::json::parse(json.output);
  CHECK(report.at("schema") == "forkscope.report/1");
  CHECK(report.at("command") == command);
  CHECK(report.at("exit") == 7);

  CHECK(run({FORKSCOPE_EXE, "report", "--json", folder / "report", session}).output.empty());
  CHECK(read_file(folder / "report") == json.output);
}

TEST_CASE("the session belongs to the folder it was asked for in, wherever the program goes") {
  TemporaryFolder folder;
  auto prepare = [&] {
    if (chdir(folder.path().c_str()) != 0) _exit(97);
  };
  std::vector<std::string> command{"sh", "-c", "cd / && exec " FORKSCOPE_PROBE " exit 3"};
  CHECK(run(forkscope_run({"--session=here"}, command), "", prepare).exit() == 3);
  CHECK(exists(folder / "here/records"));
  CHECK(run({FORKSCOPE_EXE, "report", folder / "here"}).exit() == 0);
}

TEST_CASE("what is no session is refused by one sentence") {
  TemporaryFolder folder;
  for (const std::string& session : {folder.path(), folder / "missing"}) {
    Ended ended = run({FORKSCOPE_EXE, "report", session});
    CHECK(ended.exit() == 125);
    CHECK(ended.one_sentence_with(session));
    CHECK(ended.output.empty());
  }
}

TEST_CASE("the JSON file is replaced in one step, through a link, with its mode") {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "real");
  CHECK(
      run({"/bin/sh", "-c", "umask 077; echo old > \"$1\"", "sh", folder / "real/report"}).exit() ==
      0);
  std::filesystem::create_symlink("real/report", folder / "link");
  CHECK(run(forkscope_run({"--json=" + (folder / "link")}, probe({"exit", "0"}))).exit() == 0);
  CHECK(std::filesystem::is_symlink(folder / "link"));
  auto report = nlohmann::json::parse(read_file(folder / "real/report"));
  CHECK(report.at("exit") == 0);
  CHECK((std::filesystem::status(folder / "real/report").permissions() &
         std::filesystem::perms::all) ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  for (const auto& entry : std::filesystem::directory_iterator(folder / "real"))
    CHECK(entry.path().filename() == "report");
}

TEST_CASE("a device is written to, not replaced") {
  CHECK(run(forkscope_run({"--json=/dev/null"}, probe({"exit", "0"}))).exit() == 0);
  CHECK(std::filesystem::is_character_file("/dev/null"));
  Ended ended = run(forkscope_run({"--quiet", "--json=/dev/stderr"}, probe({"exit", "0"})));
  CHECK(nlohmann::json::parse(ended.errors).at("exit") == 0);
}

TEST_CASE("the command finds its library wherever both were moved to") {
  TemporaryFolder folder;
  std::string library_folder = folder / "some/" FORKSCOPE_PRELOAD_FOLDER;
  std::filesystem::create_directories(folder / "some/bin");
  std::filesystem::create_directories(library_folder);
  std::filesystem::copy(FORKSCOPE_EXE, folder / "some/bin/forkscope");
  std::filesystem::create_symlink(folder / "some/bin/forkscope", folder / "link");
  std::vector<std::string> command{folder / "link", "run", FORKSCOPE_PROBE, "environment",
                                   "LD_PRELOAD"};
  Ended without = run(command);
  CHECK(without.exit() == 125);
  CHECK(without.one_sentence_with(library_folder + "/libforkscope.so is missing"));
  std::filesystem::copy(FORKSCOPE_PRELOAD, library_folder + "/libforkscope.so");
  Ended with = run(command);
  CHECK(with.exit() == 0);
  CHECK(with.output == library_folder + "/libforkscope.so\n");
}

TEST_CASE("option --version and --help go to standard output") {
  Ended version = run({FORKSCOPE_EXE, "--version"});
  CHECK(version.exit() == 0);
  CHECK(version.output.starts_with("forkscope "));
  for (const char* command : {"run", "report", "scenario"}) {
    Ended help = run({FORKSCOPE_EXE, command, "--help"});
    CHECK(help.exit() == 0);
    CHECK(help.errors.empty());
    CHECK(help.output.find(std::string("forkscope ") + command) != std::string::npos);
  }
}
