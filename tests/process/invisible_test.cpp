// Programs run under forkscope as they run alone: in sandboxes, without memory or descriptors to
// spare, where the library's files are not, and under valgrind.
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> invisible(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), INVISIBLE_PROBE);
  return arguments;
}

struct Observed {
  Ended ended;
  nlohmann::json report;
};

Observed observe(const std::vector<std::string>& command,
                 const std::vector<std::string>& options = {}) {
  TemporaryFolder folder;
  std::vector<std::string> all{"--json=" + (folder / "report")};
  all.insert(all.end(), options.begin(), options.end());
  Observed seen{run(forkscope_run(all, command)), {}};
  seen.report = nlohmann::json::parse(read_file(folder / "report"));
  return seen;
}

bool lists(const nlohmann::json& report, const std::string& path, const std::string& reason) {
  for (const auto& one : report.at("not_observed")) {
    const std::string said = one.at("reason");
    if (one.at("path") == path && said.find(reason) != std::string::npos) return true;
  }
  return false;
}

/// Either the program ran, and all is as if alone, or it was not started, and one sentence says so.
void check_runs_or_is_refused(const std::function<void()>& prepare) {
  const Ended ended = run(forkscope_run({"--quiet"}, {"/bin/echo", "ran"}), "", prepare);
  if (ended.exit() == 0) {
    CHECK(ended.output == "ran\n");
  } else {
    CHECK(ended.exit() == 125);
    CHECK(ended.output.empty());
    CHECK(ended.one_sentence_with("forkscope: "));
  }
}

bool has_valgrind() { return exists("/usr/bin/valgrind"); }

}  // namespace

TEST_CASE("locks need neither clock nor system calls that a sandbox forbids") {
  for (const char* mode : {"no-counter", "strict", "filter", "filter-by-number"}) {
    INFO(mode);
    REQUIRE(run(invisible({mode})).exit() == 0);
    const Observed seen = observe(invisible({mode}));
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.report.at("forks").size() == 1);
  }
}

TEST_CASE("under a filter that forbids what the library calls, programs start without it") {
  const Observed seen = observe(invisible({"exec-in-filter", "/bin/true"}));
  CHECK(seen.ended.exit() == 0);
  CHECK(lists(seen.report, "/bin/true", "seccomp"));
}

TEST_CASE("a thread that names itself by prctl has that name") {
  const Observed seen = observe(invisible({"named"}), {"--on-deadlock=kill"});
  REQUIRE(seen.report.at("findings").size() == 1);
  CHECK(seen.report.at("findings")[0].at("holder").at("name") == "by-prctl");
}

TEST_CASE("nothing that can be read is mapped over what the records do not have") {
  CHECK(observe(invisible({"maps"})).ended.exit() == 0);
}

TEST_CASE("a shell with little address space forks as it does alone") {
  for (const int limit : {6000, 8000, 10000, 12000, 14000, 20000}) {
    INFO(limit);
    const std::string script = "ulimit -v " + std::to_string(limit) +
                               "; exec sh -c '/bin/true; (echo in); /bin/echo out'";
    const Ended alone = run({"/bin/sh", "-c", script});
    const Ended under = run(forkscope_run({"--quiet"}, {"/bin/sh", "-c", script}));
    CHECK(under.exit() == alone.exit());
    CHECK(under.output == alone.output);
  }
}

TEST_CASE("a program is not left alone where descriptors or memory are lacking") {
  for (rlim_t most = 4; most <= 14; ++most) {
    INFO(most << " descriptors");
    check_runs_or_is_refused([=] {
      const rlimit limit{most, most};
      setrlimit(RLIMIT_NOFILE, &limit);
    });
  }
  for (rlim_t mebi = 40; mebi <= 140; mebi += 20) {
    INFO(mebi << " MiB");
    check_runs_or_is_refused([=] {
      const rlimit limit{mebi << 20, mebi << 20};
      setrlimit(RLIMIT_AS, &limit);
    });
  }
}

TEST_CASE("the program has the limit of descriptors that forkscope was given") {
  const auto prepare = [] {
    const rlimit limit{64, 128};
    setrlimit(RLIMIT_NOFILE, &limit);
  };
  CHECK(run(forkscope_run({"--quiet"}, {"/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"}), "", prepare)
            .output == "64\n128\n");
}

TEST_CASE("where the session is out of reach, programs start without the library and are listed") {
  TemporaryFolder folder;
  const std::string session = folder / "session";
  const std::string script = "mv " + session + " " + session + "-moved; /usr/bin/env; mv " + session +
                             "-moved " + session;
  const Observed seen = observe({"/bin/sh", "-c", script}, {"--session=" + session});
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.ended.output.find("libforkscope.so") == std::string::npos);
  CHECK(lists(seen.report, "/usr/bin/env", "could not open the library or the session"));
}

TEST_CASE("in a chroot programs start without a word of the loader and are listed") {
  if (geteuid() != 0) {
    WARN("not root: no chroot to try");
    return;
  }
  TemporaryFolder root;
  for (const char* file :
       {"/bin/true", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"}) {
    fs::create_directories(fs::path(root.path() + file).parent_path());
    fs::copy_file(fs::canonical(file), root.path() + file);
  }
  for (int i = 0; i < 10; ++i) {
    const Observed seen = observe(invisible({"chroot", root.path(), "/bin/true"}), {"--quiet"});
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.ended.errors.empty());
    CHECK(lists(seen.report, "/bin/true", "could not open the library or the session"));
  }
}

TEST_CASE("valgrind's race checkers find nothing in the library") {
  if (!has_valgrind()) {
    WARN("no valgrind to try");
    return;
  }
  for (const char* tool : {"--tool=helgrind", "--tool=drd"}) {
    INFO(tool);
    const std::vector<std::string> command{
        "/usr/bin/valgrind", tool, "-q", "--suppressions=" VALGRIND_SUPPRESSIONS,
        "--error-exitcode=9", INVISIBLE_PROBE, "counts"};
    const Ended ended = run(forkscope_run({"--quiet"}, command));
    INFO(ended.errors);
    CHECK(ended.exit() == 0);
  }
}

TEST_CASE("valgrind's race checkers find nothing in the command") {
  if (!has_valgrind()) {
    WARN("no valgrind to try");
    return;
  }
  for (const char* tool : {"--tool=helgrind", "--tool=drd"}) {
    INFO(tool);
    std::vector<std::string> command{"/usr/bin/valgrind", tool, "-q",
                                     "--suppressions=" VALGRIND_SUPPRESSIONS,
                                     "--error-exitcode=9"};
    for (const std::string& word : forkscope_run({"--quiet"}, {"/bin/true"}))
      command.push_back(word);
    const Ended ended = run(command);
    INFO(ended.errors);
    CHECK(ended.exit() == 0);
  }
}
