// What cannot be run is refused by one sentence and a documented exit status, and never started.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

namespace {

void write_script(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path) << text;
  chmod(path.c_str(), mode);
}

/// Runs a program that leaves a mark under `options`, and wants to see it refused with `status`.
void refused(const std::vector<std::string>& options, int status, const std::string& part,
             const std::function<void()>& prepare = {}) {
  TemporaryFolder folder;
  Ended ended = run(forkscope_run(options, probe({"touch", folder / "mark"})), "", prepare);
  INFO(ended.errors);
  CHECK(ended.exit() == status);
  CHECK(ended.one_sentence_with(part));
  CHECK_FALSE(exists(folder / "mark"));
}

}  // namespace

TEST_CASE("the program that leaves a mark does so when nothing is wrong") {
  TemporaryFolder folder;
  CHECK(run(forkscope_run({}, probe({"touch", folder / "mark"}))).exit() == 0);
  CHECK(exists(folder / "mark"));
}

TEST_CASE("a command that does not exist: 127") {
  Ended in_path = run(forkscope_run({}, {"forkscope-no-such-command"}));
  CHECK(in_path.exit() == 127);
  CHECK(in_path.one_sentence_with("forkscope-no-such-command: command not found"));
  Ended by_path = run(forkscope_run({}, {"/no/such/file"}));
  CHECK(by_path.exit() == 127);
  CHECK(by_path.one_sentence_with("/no/such/file: no such file"));
  CHECK(run(forkscope_run({}, {""})).exit() == 127);
}

TEST_CASE("a missing interpreter is named: 127") {
  TemporaryFolder folder;
  write_script(folder / "script", "#!/no/such/interpreter -x\n", 0755);
  Ended script = run(forkscope_run({}, {folder / "script"}));
  CHECK(script.exit() == 127);
  CHECK(script.one_sentence_with("needs the interpreter /no/such/interpreter,"));
  Ended binary = run(forkscope_run({}, {FORKSCOPE_PROBE_ORPHAN}));
  CHECK(binary.exit() == 127);
  CHECK(binary.one_sentence_with("needs the interpreter /nonexistent/ld-linux-x86-64.so.2"));
}

TEST_CASE("a command that cannot be executed: 126") {
  TemporaryFolder folder;
  write_script(folder / "data", "hello\n", 0644);
  write_script(folder / "no-program", "exit 0\n", 0755);
  Ended data = run(forkscope_run({}, {folder / "data"}));
  CHECK(data.exit() == 126);
  CHECK(data.one_sentence_with("permission denied"));
  Ended folder_itself = run(forkscope_run({}, {folder.path()}));
  CHECK(folder_itself.exit() == 126);
  CHECK(folder_itself.one_sentence_with("is a directory"));
  Ended no_program = run(forkscope_run({}, {folder / "no-program"}));
  CHECK(no_program.exit() == 126);
  CHECK(no_program.one_sentence_with("has no #! line"));
  Ended found_in_path = run(forkscope_run({}, {"data"}), "",
                            [&] { setenv("PATH", ("/usr/bin:" + folder.path()).c_str(), 1); });
  CHECK(found_in_path.exit() == 126);
  CHECK(found_in_path.one_sentence_with(folder / "data"));
}

TEST_CASE("PATH is searched as execvp does: an empty entry is the current folder") {
  TemporaryFolder folder;
  write_script(folder / "here", "#!/bin/sh\nexit 3\n", 0755);
  auto prepare = [&] {
    setenv("PATH", "/no/such/folder::", 1);
    if (chdir(folder.path().c_str()) != 0) _exit(97);
  };
  CHECK(run(forkscope_run({}, {"here"}), "", prepare).exit() == 3);
}

TEST_CASE("a program the library cannot go along with is not started: 125") {
  Ended is_static = run(forkscope_run({}, {FORKSCOPE_PROBE_STATIC, "exit", "0"}));
  CHECK(is_static.exit() == 125);
  CHECK(is_static.one_sentence_with("is statically linked"));
  Ended foreign = run(forkscope_run({}, {FORKSCOPE_PROBE_FOREIGN, "exit", "0"}));
  CHECK(foreign.exit() == 125);
  CHECK(foreign.one_sentence_with("/lib/ld-musl-x86_64.so.1"));

  TemporaryFolder folder;
  write_script(folder / "script", "#!" FORKSCOPE_PROBE_STATIC " exit\n", 0755);
  Ended script = run(forkscope_run({}, {folder / "script"}));
  CHECK(script.exit() == 125);
  CHECK(script.one_sentence_with("is statically linked"));
}

TEST_CASE("a setuid program is not started: 125") {
  TemporaryFolder folder;
  std::string program = "/usr/bin/su";  // setuid root wherever it is installed
  if (getuid() == 0) {                  // to whom that means nothing: another's, then
    program = folder / "setuid";
    std::filesystem::copy_file(FORKSCOPE_PROBE, program);
    REQUIRE(chown(program.c_str(), 65534, 65534) == 0);
    REQUIRE(chmod(program.c_str(), 04755) == 0);
  }
  Ended ended = run(forkscope_run({}, {program, "exit", "0"}));
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with("setuid"));
}

TEST_CASE("a JSON file that cannot be written: 125, before the start") {
  TemporaryFolder folder;
  refused({"--json=" + (folder / "no/report.json")}, 125, "No such file or directory");
  refused({"--json=" + folder.path()}, 125, "Is a directory");
  refused({"--json=/proc/report.json"}, 125, "cannot write /proc/report.json");
  refused({"--json="}, 125, "--json");
}

TEST_CASE("a session folder that cannot be used: 125, before the start") {
  TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  refused({"--session=" + (folder / "no/session")}, 125, "cannot create the session folder");
  refused({"--session=" + (folder / "file")}, 125, "is not a folder");
  refused({"--session=/proc/sys"}, 125, "/proc/sys");
  std::filesystem::create_directory(folder / "used");
  std::ofstream(folder / "used/records") << "x";
  refused({"--session=" + (folder / "used")}, 125, "already holds a session");
  CHECK(read_file(folder / "used/records") == "x");
  refused({}, 125, "--session=DIR", [] { setenv("TMPDIR", "/no/such/folder", 1); });
}

TEST_CASE("no room for the records: 125, before the start, and nothing is left") {
  TemporaryFolder folder;
  refused({"--session=" + (folder / "session")}, 125, "cannot reserve", [] {
    rlimit small{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &small);
  });
  CHECK_FALSE(exists(folder / "session"));
}

TEST_CASE("wrong options: 125") {
  refused({"--no-such-option"}, 125, "--no-such-option");
  refused({"--timeout=soon"}, 125, "'soon' is no duration");
  refused({"--fail-on=deadlock,bad"}, 125, "'bad' is no severity");
  refused({"--fail-on=only:"}, 125, "'' is no severity");
  refused({"--fail-on=only:latent,only:note"}, 125, "'only:note' is no severity");
  refused({"--fail-on="}, 125, "--fail-on");
  refused({"--fail-on=deadlock,"}, 125, "'' is no severity");
  refused({"--error-exitcode=256"}, 125, "256");
  refused({"--error-exitcode=0"}, 125, "--error-exitcode");
  refused({"--on-deadlock=panic"}, 125, "'panic'");
  refused({"--on-deadlock=exit:256"}, 125, "exit:256");
  refused({"--colour=pink"}, 125, "'pink'");
  CHECK(run({FORKSCOPE_EXE, "run"}).exit() == 125);
  CHECK(run({FORKSCOPE_EXE}).exit() == 125);
  CHECK(run({FORKSCOPE_EXE, "no-such-command"}).exit() == 125);
}

TEST_CASE("a mistake in FORKSCOPE_OPTIONS: 125, before the start") {
  auto with = [](const char* value) { return [=] { setenv("FORKSCOPE_OPTIONS", value, 1); }; };
  refused({}, 125, "unknown option 'colour'", with("colour=red"));
  refused({}, 125, "'panic'", with("on_deadlock=panic"));
  refused({}, 125, "FORKSCOPE_OPTIONS", with("log=none\\"));
  refused({}, 125, "FORKSCOPE_OPTIONS", with("report"));
}
