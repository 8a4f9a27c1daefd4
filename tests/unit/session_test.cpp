// The reader of sessions: everything written comes back, and no byte can hurt it.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "detector/record/module_history.hpp"
#include "detector/record/module_kind.hpp"
#include "detector/record/session.hpp"
#include "tests/unit/support/arena_builder.hpp"

using namespace forkscope;
using forkscope::test::ArenaBuilder;
using forkscope::test::fork_of;
using forkscope::test::thread;

namespace {

std::size_t records(const Session& s) {
  return s.hellos.size() + s.modules.size() + s.forks.size() + s.fork_failures.size() +
         s.findings.size() + s.finding_ends.size() + s.execs.size() + s.exec_failures.size() +
         s.exits.size() + s.child_statuses.size();
}

MemoryBytes memory(std::uint64_t address, std::size_t size) {
  return {address, std::vector<std::byte>(size, std::byte{0x5a})};
}

/// One record of every type, and two modules.
constexpr std::size_t kRecords = 11;
ArenaBuilder one_of_each() {
  ArenaBuilder arena;
  arena.as(100, 100).hello("/usr/bin/reader", {"reader", "--all", ""});
  arena.module(0x1000, 0x2000, "");
  arena.module(0x7000, 0x9000, "/lib/libc.so.6");
  record::HeldLock held{0x1800, 0x1100, 102, record::LockType::kMutexNormal, 0, 0, 0};
  record::Fork fork = fork_of(1, 200);
  fork.frames = 2;
  fork.stack[0] = 0x1010;
  fork.stack[1] = 0x1020;
  arena.as(200, 200).fork(fork, {thread(101, "main"), thread(102, "row-reader")}, {held});
  arena.as(100, 101).fork_failed(record::Api::kFork, 11);
  record::Finding finding{};
  finding.fork = 1;
  finding.lock = 0x1800;
  const auto id =
      arena.as(200, 200).finding(finding, {thread(102, "x")}, {memory(0x5000, 13), memory(0, 8)});
  arena.finding_end(id, record::Outcome::kKilled);
  arena.exec("/bin/true");
  arena.exec_failed(2);
  arena.exit(3);
  arena.as(100, 101).child_status(200, 3 << 8);
  return arena;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "forkscope-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace

TEST_CASE("a session gives back one record of every type", "[session]") {
  const Session s = one_of_each().session();
  REQUIRE(records(s) == kRecords);
  CHECK(s.skipped_bytes == 0);

  CHECK(s.hellos.at(0).exe == "/usr/bin/reader");
  CHECK(s.hellos.at(0).command == std::vector<std::string>{"reader", "--all", ""});
  CHECK(s.hellos.at(0).preload == "/opt/lib/libforkscope.so");
  CHECK(s.modules.at(1).path == "/lib/libc.so.6");
  CHECK(s.modules.at(1).bias == 0x7000);

  const ForkRecord& fork = s.forks.at(0);
  CHECK(fork.meta.pid == 200);
  CHECK(fork.fork.stack[1] == 0x1020);
  REQUIRE(fork.threads.size() == 2);
  CHECK(fork.threads[1].tid == 102);
  REQUIRE(fork.held.size() == 1);
  CHECK(fork.held[0].caller == 0x1100);

  const FindingRecord& finding = s.findings.at(0);
  CHECK(finding.finding.id == finding.meta.offset);
  CHECK(finding.threads.at(0).tid == 102);
  REQUIRE(finding.memory.size() == 2);
  CHECK(finding.memory[0].address == 0x5000);
  CHECK(finding.memory[0].bytes.size() == 13);
  CHECK(finding.memory[1].bytes == std::vector<std::byte>(8, std::byte{0x5a}));

  CHECK(s.finding_ends.at(0).end.finding == finding.finding.id);
  CHECK(s.execs.at(0).path == "/bin/true");
  CHECK(s.exec_failures.at(0).failed.error == 2);
  CHECK(s.exits.at(0).exit.status == 3);
  CHECK(s.child_statuses.at(0).status.child == 200);
  CHECK(s.fork_failures.at(0).failed.error == 11);
}

TEST_CASE("the main program's module gets its path from the image's hello", "[session]") {
  CHECK(one_of_each().session().modules.at(0).path == "/usr/bin/reader");
}

TEST_CASE("counters are read", "[session]") {
  ArenaBuilder arena;
  arena.counter(offsetof(record::Counters, forks), 7);
  arena.counter(offsetof(record::Counters, abandoned_locks), 9);
  const CounterValues counters = arena.session().counters;
  CHECK(counters.forks == 7);
  CHECK(counters.abandoned_locks == 9);
  CHECK(counters.execs == 0);
}

TEST_CASE("records after a hole are found and the hole is counted", "[session]") {
  ArenaBuilder arena;
  arena.exit(1);
  arena.hole(500);
  arena.exit(2);
  const Session s = arena.session();
  REQUIRE(s.exits.size() == 2);
  CHECK(s.exits[1].exit.status == 2);
  CHECK(s.skipped_bytes == 512);
}

TEST_CASE("unused storage after the last record is no hole", "[session]") {
  ArenaBuilder arena;
  arena.exit(1);
  CHECK(parse_session(arena.bytes(1 << 20)).skipped_bytes == 0);
}

TEST_CASE("a header in the wrong place is payload, not a record", "[session]") {
  ArenaBuilder inner;
  inner.exit(66);
  const std::vector<std::byte> image = inner.bytes(0);
  const auto record = std::span(image).subspan(record::kArenaHeaderSize);

  ArenaBuilder arena;
  arena.exit(1);
  const std::uint64_t hole = arena.bytes(0).size();
  arena.hole(record.size());
  std::vector<std::byte> bytes = arena.bytes();
  std::copy(record.begin(), record.end(), bytes.begin() + static_cast<std::ptrdiff_t>(hole));
  const Session s = parse_session(bytes);
  REQUIRE(s.exits.size() == 1);
  CHECK(s.exits[0].exit.status == 1);
}

TEST_CASE("counts larger than the record skip that record only", "[session]") {
  ArenaBuilder arena;
  record::Fork fork = fork_of(1, 200);
  fork.threads = 0xffffffff;
  arena.add(record::Type::kFork, {std::as_bytes(std::span(&fork, 1))});
  fork.threads = 0;
  fork.frames = record::kMaxFrames + 1;
  arena.add(record::Type::kFork, {std::as_bytes(std::span(&fork, 1))});
  record::Finding finding{};
  finding.waiter_frames = record::kMaxFrames + 1;
  arena.finding(finding);
  finding.waiter_frames = 0;
  finding.holder_creator_frames = record::kMaxCreatorFrames + 1;
  arena.finding(finding);
  finding.holder_creator_frames = 0;
  finding.kind = static_cast<record::Kind>(200);
  arena.finding(finding);
  finding.kind = record::Kind::kOrphanedLock;
  arena.finding(finding, {}, {memory(~std::uint64_t{0} - 4, 8)});  // ends beyond the last address
  finding.slices = 1;
  const record::MemorySlice slice{0x1000, ~std::uint64_t{0}};
  arena.add(record::Type::kFinding,
            {std::as_bytes(std::span(&finding, 1)), std::as_bytes(std::span(&slice, 1))});
  arena.add(static_cast<record::Type>(999), {});
  arena.exit(5);
  const Session s = arena.session();
  CHECK(records(s) == 1);
  CHECK(s.exits.at(0).exit.status == 5);
  CHECK(s.skipped_bytes > 0);
}

TEST_CASE("the text after a finding's slices is read, and checked", "[session]") {
  ArenaBuilder arena;
  record::Finding finding{};
  arena.finding(finding, {thread(102, "reader")}, {memory(0x5000, 13)}, "/run/app.lock");
  finding.text_length = 0xffffffff;
  arena.add(record::Type::kFinding, {std::as_bytes(std::span(&finding, 1))});
  finding.text_length = 1;  // one byte more than there is
  arena.add(record::Type::kFinding, {std::as_bytes(std::span(&finding, 1))});
  const Session s = arena.session();
  REQUIRE(s.findings.size() == 1);
  CHECK(s.findings[0].text == "/run/app.lock");
  CHECK(s.findings[0].memory.at(0).bytes.size() == 13);
  CHECK(s.skipped_bytes > 0);
}

TEST_CASE("values that mean nothing are damage", "[session]") {
  ArenaBuilder arena;
  record::Fork fork = fork_of(1, 200, static_cast<record::Api>(99));
  arena.fork(fork);
  fork.api = record::Api::kFork;
  arena.fork(fork, {thread(102, "", static_cast<record::ThreadState>(77))});
  arena.fork(fork, {}, {{0x1000, 0, 102, static_cast<record::LockType>(200), 0, 0, 0}});
  record::Finding finding{};
  finding.call = static_cast<record::Call>(250);
  arena.finding(finding);
  finding.call = record::Call::kMutexLock;
  finding.lock_type = static_cast<record::LockType>(250);
  arena.finding(finding);
  finding.lock_type = record::LockType::kUnknown;
  finding.evidence = static_cast<record::Evidence>(250);
  arena.finding(finding);
  finding.evidence = record::Evidence::kOwnerWord;
  finding.severity = static_cast<record::Severity>(9);
  arena.finding(finding);
  finding.severity = record::Severity::kNote;
  arena.finding(finding, {thread(102, "", static_cast<record::ThreadState>(77))});
  arena.exec("/bin/true", static_cast<record::NotObserved>(50));
  arena.fork_failed(static_cast<record::Api>(99), 11);
  arena.exit(5);
  CHECK(records(arena.session()) == 1);
}

TEST_CASE("a file that is no session is refused with a sentence", "[session]") {
  const std::vector<std::byte> zeros(8192);
  CHECK_THROWS_WITH(parse_session(zeros), Catch::Contains("not a forkscope session"));
  CHECK_THROWS_WITH(parse_session({}), Catch::Contains("not a forkscope session"));
  ArenaBuilder future;
  future.put(offsetof(record::ArenaHeader, version), record::kFormatVersion + 1);
  CHECK_THROWS_WITH(future.session(), Catch::Contains("format version " +
                                                      std::to_string(record::kFormatVersion + 1)));
  ArenaBuilder damaged;
  damaged.put(offsetof(record::ArenaHeader, header_size), std::uint32_t{64});
  CHECK_THROWS_WITH(damaged.session(), Catch::Contains("damaged"));
}

TEST_CASE("a cut image gives the records before the cut", "[session]") {
  const std::vector<std::byte> whole = one_of_each().bytes(0);
  std::size_t last = 0;
  for (std::size_t size = record::kArenaHeaderSize; size <= whole.size(); ++size) {
    const std::size_t found = records(parse_session(std::span(whole).first(size)));
    REQUIRE(found >= last);
    last = found;
  }
  CHECK(last == kRecords);
}

TEST_CASE("flipped bits never hurt and cost at most the records they hit", "[session]") {
  const std::vector<std::byte> whole = one_of_each().bytes(256);
  std::mt19937 random(20240117);
  const auto at = [&](std::size_t from) {
    return std::uniform_int_distribution<std::size_t>(from, whole.size() - 1)(random);
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::byte> image = whole;
    const int flips = 1 + round % 8;
    for (int i = 0; i < flips; ++i) {
      image[at(record::kArenaHeaderSize)] ^= std::byte(1u << (random() % 8));
    }
    const Session s = parse_session(image);
    REQUIRE(records(s) <= kRecords);
    REQUIRE(records(s) + static_cast<std::size_t>(flips) >= kRecords);
    for (std::uint32_t i = 1; i < 3; ++i) modules_of(s, 200, i);
  }
}

TEST_CASE("a damaged tail loses no record", "[session]") {
  std::vector<std::byte> image = one_of_each().bytes();
  for (std::uint64_t tail : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    std::memcpy(image.data() + offsetof(record::ArenaHeader, tail), &tail, sizeof(tail));
    CHECK(records(parse_session(image)) == kRecords);
  }
}

TEST_CASE("random payloads under valid headers are read within bounds", "[session]") {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    ArenaBuilder arena;
    std::vector<std::byte> payload(random() % 2048);
    // Small numbers are the interesting ones: they pass for counts and lengths.
    for (std::byte& b : payload) b = std::byte(random() % 4 == 0 ? random() % 256 : random() % 2);
    arena.add(static_cast<record::Type>(1 + random() % 10), {payload});
    arena.exit(1);
    const Session s = arena.session();
    REQUIRE(s.exits.size() >= 1);
    REQUIRE(s.exits.back().exit.status == 1);
    for (const FindingRecord& finding : s.findings) {
      REQUIRE(finding.finding.waiter_frames <= record::kMaxFrames);
    }
  }
}

TEST_CASE("modules: own first, then the ancestors', then others of the image", "[session]") {
  ArenaBuilder arena;
  arena.as(100, 100, 1).hello("/usr/bin/reader", {"reader"});
  arena.module(0x1000, 0x2000, "");
  arena.module(0x3000, 0x4000, "/lib/libshared.so");
  arena.as(200, 200, 1).fork(fork_of(1, 200));
  arena.module(0x8000, 0x9000, "/lib/libchild.so");
  arena.as(300, 300, 1).fork(fork_of(2, 300));
  arena.module(0x8800, 0x9800, "/lib/libsibling.so");
  arena.module(0xa000, 0xb000, "/lib/libsibling2.so");
  arena.as(400, 400, 2).hello("/bin/other", {"other"});
  arena.module(0xc000, 0xd000, "/lib/libother.so");
  const auto paths = [s = arena.session()](std::int32_t pid, std::uint32_t image) {
    std::vector<std::string> result;
    for (const ModuleRecord& module : modules_of(s, pid, image)) result.push_back(module.path);
    return result;
  };
  using Paths = std::vector<std::string>;
  CHECK(paths(200, 1) ==
        Paths{"/usr/bin/reader", "/lib/libshared.so", "/lib/libchild.so", "/lib/libsibling2.so"});
  CHECK(paths(300, 1) ==
        Paths{"/usr/bin/reader", "/lib/libshared.so", "/lib/libsibling.so", "/lib/libsibling2.so"});
  CHECK(paths(400, 2) == Paths{"/lib/libother.so"});
  CHECK(paths(400, 9).empty());
}

TEST_CASE("modules: a library loaded later at the same place replaces the first", "[session]") {
  ArenaBuilder arena;
  arena.hello("/usr/bin/reader", {"reader"});
  arena.module(0x8000, 0x9000, "/lib/libgone.so");
  arena.module(0x8000, 0xa000, "/lib/libnow.so");
  const auto modules = modules_of(arena.session(), 100, 1);
  REQUIRE(modules.size() == 1);
  CHECK(modules[0].path == "/lib/libnow.so");
}

TEST_CASE("modules: a record is of the newest module before it", "[session]") {
  ArenaBuilder arena;
  arena.hello("/usr/bin/reader", {"reader"});
  const std::uint64_t first = arena.module(0x8000, 0x9000, "/lib/libfirst.so");
  const std::uint64_t in_first = arena.exit(0);
  const record::Module gone{0x8000, 0x9000, kNothingLoaded, 0, 0};
  arena.add(record::Type::kModule, {std::as_bytes(std::span(&gone, 1))});
  const std::uint64_t in_none = arena.exit(0);
  arena.module(0x8000, 0xa000, "/lib/libsecond.so");
  const std::uint64_t in_second = arena.exit(0);
  arena.module(0x8000, 0x9000, "/lib/libfirst.so");
  const std::uint64_t in_first_again = arena.exit(0);
  const Session session = arena.session();
  const ModuleHistory history(session);
  const auto at = [&](std::uint64_t offset) {
    const auto modules = history.modules(100, 1, offset);
    return modules.empty() ? "" : modules.at(0).path;
  };
  CHECK(at(in_first) == "/lib/libfirst.so");
  CHECK(at(in_none) == "");
  CHECK(at(in_second) == "/lib/libsecond.so");
  CHECK(at(in_first_again) == "/lib/libfirst.so");
  CHECK(at(first - 1) == "/lib/libfirst.so");  // where nothing else is known
  CHECK(history.period(100, 1, in_first) != history.period(100, 1, in_second));
  CHECK(history.period(100, 1, in_first_again) == history.period(100, 1, kEndOfSession));
}

TEST_CASE("modules: a child has what its parent had when it forked", "[session]") {
  ArenaBuilder arena;
  arena.as(100, 100, 1).hello("/usr/bin/reader", {"reader"});
  arena.module(0x8000, 0x9000, "/lib/libfirst.so");
  arena.as(200, 200, 1).fork(fork_of(1, 200));
  arena.as(100, 100, 1).module(0x8000, 0x9000, "/lib/libsecond.so");
  arena.as(300, 300, 1).fork(fork_of(2, 300));
  const std::uint64_t end = arena.exit(0);
  const Session session = arena.session();
  const ModuleHistory history(session);
  CHECK(history.modules(200, 1, end).at(0).path == "/lib/libfirst.so");
  CHECK(history.modules(300, 1, end).at(0).path == "/lib/libsecond.so");
}

TEST_CASE("modules: a pid that is used again is another process", "[session]") {
  ArenaBuilder arena;
  arena.as(100, 100, 1).hello("/usr/bin/reader", {"reader"});
  arena.module(0x8000, 0x9000, "/lib/libfirst.so");
  arena.as(200, 200, 1).fork(fork_of(1, 200));
  arena.as(200, 200, 1).module(0x4000, 0x5000, "/lib/libown.so");
  arena.as(100, 100, 1).module(0x8000, 0x9000, "/lib/libsecond.so");
  arena.as(200, 200, 1).fork(fork_of(2, 200));
  const std::uint64_t end = arena.exit(0);
  const Session session = arena.session();
  const auto modules = ModuleHistory(session).modules(200, 1, end);
  const auto at = std::find_if(modules.begin(), modules.end(),
                               [](const ModuleRecord& module) { return module.start == 0x8000; });
  REQUIRE(at != modules.end());
  CHECK(at->path == "/lib/libsecond.so");
}

TEST_CASE("modules: a circle of parents ends", "[session]") {
  ArenaBuilder arena;
  record::Fork there = fork_of(1, 200), back = fork_of(2, 100);
  back.parent = 200;
  arena.fork(there);
  arena.fork(back);
  arena.module(0x1000, 0x2000, "/lib/liba.so");
  CHECK(modules_of(arena.session(), 200, 1).size() == 1);
}

TEST_CASE("read_session reads a folder", "[session]") {
  const TemporaryFolder folder;
  const std::vector<std::byte> image = one_of_each().bytes();
  std::ofstream(folder.path + "/records", std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
  CHECK(records(read_session(folder.path)) == kRecords);
}

TEST_CASE("read_session names the file that is missing, strange or foreign", "[session]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_session(folder.path), Catch::Contains(folder.path + "/records") &&
                                                   Catch::Contains("No such file") &&
                                                   Catch::Contains("--session"));
  std::ofstream(folder.path + "/records") << "not ours";
  CHECK_THROWS_WITH(read_session(folder.path),
                    Catch::Contains("/records") && Catch::Contains("not a forkscope session"));
  std::filesystem::remove(folder.path + "/records");
  std::filesystem::create_directory(folder.path + "/records");
  CHECK_THROWS_WITH(read_session(folder.path), Catch::Contains("no regular file"));
}
