// Parts of the command that need no process of their own.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/command_split.hpp"
#include "detector/cli/duration.hpp"
#include "detector/cli/fail_on.hpp"
#include "detector/cli/processes.hpp"
#include "detector/cli/run_command.hpp"
#include "tests/process/cli_run.hpp"

using namespace forkscope::cli;
using namespace forkscope::record;
using namespace std::chrono_literals;
using cli_test::TemporaryFolder;

TEST_CASE("a duration is a number with or without a unit") {
  CHECK(parse_duration("10") == 10s);
  CHECK(parse_duration("1.5s") == 1500ms);
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("2m") == 120s);
  CHECK(parse_duration("1h") == 3600s);
}

TEST_CASE("what is no positive duration is refused") {
  for (const char* text : {"", "0", "-1", "s", "1x", "1 s", "1ss", "1e3", "nan", "inf", "0x10",
                           "99999999999999h", "0.0000000000001"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("the command begins at the first word that is no option of ours") {
  CLI::App app;
  RunOptions options;
  CLI::App* run = add_run_command(app, options);
  using Words = std::vector<std::string>;
  auto command = [&](const Words& words) { return split_command(*run, words).command; };
  CHECK(command({"ls", "-l"}) == Words{"ls", "-l"});
  CHECK(command({"--", "ls"}) == Words{"ls"});
  CHECK(command({"--json", "ls", "cat"}) == Words{"cat"});
  CHECK(command({"--json=x", "-q", "cat"}) == Words{"cat"});
  CHECK(command({"--quiet", "--verbose", "cat", "--quiet"}) == Words{"cat", "--quiet"});
  CHECK(command({"sh", "--", "--", ""}) == Words{"sh", "--", "--", ""});
  CHECK(command({"--", "--", "x"}) == Words{"--", "x"});
  CHECK(command({"-", "x"}) == Words{"-", "x"});
  CHECK(command({"--quiet"}).empty());
  CHECK(command({"--json"}).empty());
}

namespace {

forkscope::Finding finding(const std::string& severity, const std::string& certainty = "proven") {
  forkscope::Finding finding;
  finding.severity = severity;
  finding.certainty = certainty;
  return finding;
}

FailOn fail_on(const std::string& text) {
  FailOn wanted;
  CHECK(parse_fail_on(text, wanted).empty());
  return wanted;
}

}  // namespace

TEST_CASE("a hang that is only probable is graver than one that did not happen") {
  CHECK(gravity_of(finding("deadlock")) == Gravity::kDeadlock);
  CHECK(gravity_of(finding("hazard", "probable")) == Gravity::kProbable);
  CHECK(gravity_of(finding("latent")) == Gravity::kLatent);
  CHECK(gravity_of(finding("hazard")) == Gravity::kHazard);
  CHECK(gravity_of(finding("note")) == Gravity::kNote);
  forkscope::Finding came_back = finding("hazard", "probable");
  came_back.outcome = "came back";
  CHECK(gravity_of(came_back) == Gravity::kHazard);
}

TEST_CASE("what a run fails on is a threshold, or a set with only:, and nothing that a baseline accepts") {
  CHECK(fail_on("deadlock") == FailOn{Gravity::kDeadlock});
  CHECK(fail_on("latent") == FailOn{Gravity::kDeadlock, Gravity::kProbable, Gravity::kLatent});
  CHECK(fail_on("deadlock,note").size() == 5);
  CHECK(fail_on("only:hazard,deadlock") == FailOn{Gravity::kDeadlock, Gravity::kHazard});
  forkscope::Report report;
  report.findings = {finding("deadlock")};
  CHECK(fails(report, fail_on("note")));
  CHECK_FALSE(fails(report, fail_on("only:latent")));
  CHECK_FALSE(fails(report, {}));
  report.findings.front().known = true;
  CHECK_FALSE(fails(report, fail_on("note")));
}

namespace {

/// The arena as an observed process sees it.
struct Writer {
  explicit Writer(const TemporaryFolder& folder) {
    int fd = open((folder / kArenaFileName).c_str(), O_RDWR);
    header = static_cast<ArenaHeader*>(
        mmap(nullptr, kArenaMaxSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    close(fd);
  }
  ~Writer() { munmap(header, kArenaMaxSize); }
  ArenaHeader* header;
};

}  // namespace

TEST_CASE("a new arena is what record.hpp says") {
  TemporaryFolder folder;
  ArenaFile arena(folder.path());
  Writer writer(folder);
  CHECK(std::memcmp(writer.header->magic, kArenaMagic, sizeof kArenaMagic) == 0);
  CHECK(writer.header->version == kFormatVersion);
  CHECK(writer.header->capacity == kArenaInitialSize);
  CHECK(writer.header->tail == kArenaHeaderSize);
  CHECK(writer.header->next_fork == 1);
  CHECK(writer.header->next_image == 1);
  CHECK(writer.header->supervisor == getpid());
  CHECK(std::filesystem::file_size(folder / kArenaFileName) == kArenaInitialSize);
  CHECK(arena.snapshot().size() == kArenaHeaderSize);
}

TEST_CASE("an arena grows ahead of its writers, up to the maximum") {
  TemporaryFolder folder;
  ArenaFile arena(folder.path());
  Writer writer(folder);
  arena.grow_if_needed();
  CHECK(writer.header->capacity == kArenaInitialSize);
  while (writer.header->capacity < kArenaMaxSize) {
    std::uint64_t before = writer.header->capacity;
    writer.header->tail = before - 1000;
    arena.grow_if_needed();
    REQUIRE(arena.growth_error() == 0);
    REQUIRE(writer.header->capacity >=
            std::min(before - 1000 + kArenaInitialSize / 2, kArenaMaxSize));
    REQUIRE(std::filesystem::file_size(folder / kArenaFileName) == writer.header->capacity);
  }
  CHECK(writer.header->capacity == kArenaMaxSize);
  arena.grow_if_needed();
  CHECK(writer.header->capacity == kArenaMaxSize);
}

TEST_CASE("a tail beyond the capacity does not choose the arena's size") {
  TemporaryFolder folder;
  ArenaFile arena(folder.path());
  Writer writer(folder);
  writer.header->tail = kArenaMaxSize * 16;
  CHECK(arena.snapshot().size() == kArenaInitialSize);
  arena.grow_if_needed();
  CHECK(writer.header->capacity > kArenaInitialSize);
  CHECK(writer.header->capacity <= kArenaMaxSize);
}

TEST_CASE("a disk that takes no more is noticed, once, and what is there stays usable") {
  TemporaryFolder folder;
  ArenaFile arena(folder.path());
  Writer writer(folder);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto previous = signal(SIGXFSZ, SIG_IGN);  // as the command has it
  rlimit small{kArenaInitialSize + 4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  writer.header->tail = kArenaInitialSize - 64;
  arena.grow_if_needed();
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, previous);
  CHECK(arena.growth_error() == EFBIG);
  arena.grow_if_needed();
  CHECK(writer.header->capacity == kArenaInitialSize);
  CHECK(arena.snapshot().size() == kArenaInitialSize - 64);
}

TEST_CASE("a process is told from a later one with its pid") {
  auto self = find_process(getpid());
  REQUIRE(self);
  CHECK(self->parent == getppid());
  CHECK(alive(*self));
  Process other = *self;
  other.start -= 1;
  CHECK_FALSE(alive(other));
  send_signal(other, SIGKILL);  // we are still here
  CHECK(is_descendant(getpid(), getppid()));
  CHECK_FALSE(is_descendant(getppid(), getpid()));
}
