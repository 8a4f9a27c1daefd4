// The arena: several threads append while a reader parses what is there.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <span>
#include <vector>

#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;

namespace {

class Folder {
 public:
  Folder() {
    path_ = (std::filesystem::temp_directory_path() / "forkscope-arena-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) FAIL("no temporary folder");
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A record whose text tells whether it arrived whole.
void append(Arena& arena, std::int32_t writer, std::uint32_t number, std::size_t length) {
  record::Exec exec{};
  exec.fork = number;
  exec.parent = writer;
  exec.path_length = std::uint32_t(length);
  auto space = arena.reserve(sizeof exec + length);
  if (!space) return;
  Filler fill(space.payload());
  fill.put(exec);
  std::vector<char> text(length, char('a' + (number + std::uint32_t(writer)) % 26));
  fill.bytes(text.data(), text.size());
  arena.publish(space, record::Type::kExec, writer, writer, 1, number);
}

bool whole(const ExecRecord& record) {
  char letter = char('a' + (record.exec.fork + std::uint64_t(record.exec.parent)) % 26);
  return record.meta.pid == record.exec.parent && record.meta.time == record.exec.fork &&
         record.path == std::string(record.path.size(), letter);
}

/// A second view of the file, as the command in its own process has it.
class View {
 public:
  explicit View(const Folder& folder) {
    int fd = open((folder.path() + "/" + record::kArenaFileName).c_str(), O_RDONLY | O_CLOEXEC);
    size_ = std::filesystem::file_size(folder.path() + "/" + record::kArenaFileName);
    data_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (data_ == MAP_FAILED) FAIL("the arena cannot be mapped");
  }
  ~View() { munmap(data_, size_); }
  std::span<const std::byte> bytes(std::size_t count) const {
    return {static_cast<const std::byte*>(data_), std::min(count, size_)};
  }

 private:
  void* data_;
  std::size_t size_;
};

}  // namespace

TEST_CASE("what several threads append at once is all there, whole, and in each one's order") {
  constexpr int kWriters = 3;
  constexpr std::uint32_t kRecords = 1500;
  Folder folder;
  Arena arena;
  REQUIRE(arena.open(folder.path().c_str()) == nullptr);
  View view(folder);
  std::atomic<int> writing{kWriters};
  std::atomic<int> torn{0}, backwards{0}, reads{0};
  test::together(kWriters + 1, [&](int index) {
    if (index > 0) {
      std::minstd_rand random(static_cast<unsigned>(index));
      for (std::uint32_t i = 0; i < kRecords; ++i) {
        append(arena, index, i, random() % (random() % 50 == 0 ? 5000 : 300));
        while (i == kRecords / 2 && reads == 0) sched_yield();  // however late the reader comes
      }
      --writing;
      return;
    }
    std::size_t before = 0;
    bool last;
    do {
      last = writing == 0;
      // All that has been reserved, and the holes of those who have not published yet.
      Session session =
          parse_session(view.bytes(arena.header()->tail.load(std::memory_order_relaxed) + 4096));
      for (const ExecRecord& record : session.execs) torn += !whole(record);
      backwards += session.execs.size() < before;  // what was there stays
      before = session.execs.size();
      ++reads;
    } while (!last);
    CHECK(before == kWriters * kRecords);
  });
  CHECK(reads > 1);
  CHECK(torn == 0);
  CHECK(backwards == 0);

  Session session = parse_session(view.bytes(arena.header()->tail));
  CHECK(session.counters.dropped_records == 0);
  CHECK(session.skipped_bytes == 0);
  std::uint32_t next[kWriters + 1] = {};
  for (const ExecRecord& record : session.execs)
    CHECK(record.exec.fork == next[record.exec.parent]++);
}

TEST_CASE("a full arena counts what it has no room for, and keeps what it has") {
  constexpr int kWriters = 3;
  constexpr std::uint32_t kRecords = 2000, kLength = 4000;  // 24 MB into 16
  Folder folder;
  Arena arena;
  REQUIRE(arena.open(folder.path().c_str()) == nullptr);
  test::together(kWriters, [&](int index) {
    for (std::uint32_t i = 0; i < kRecords; ++i) append(arena, index, i, kLength);
  });
  View view(folder);
  Session session = parse_session(view.bytes(arena.header()->capacity));
  std::size_t torn = 0;
  for (const ExecRecord& record : session.execs) torn += !whole(record);
  CHECK(torn == 0);
  CHECK(session.counters.dropped_records > 0);
  CHECK(session.execs.size() + session.counters.dropped_records == kWriters * kRecords);
}

TEST_CASE("an arena is written into as far as the file has grown, by a fork's child, too") {
  Folder folder;
  Arena arena;
  REQUIRE(arena.open(folder.path().c_str()) == nullptr);
  record::ArenaHeader& header = *arena.header();
  const std::uint64_t before = header.capacity, after = before * 2;
  header.tail = before - record::kRecordAlign;
  append(arena, 1, 1, 3000);
  CHECK(header.counters.dropped_records == 1);
  CHECK_FALSE(arena.reaches(before + 1));
  // As the command does when the records run out of room.
  const std::string file = folder.path() + "/" + record::kArenaFileName;
  REQUIRE(truncate(file.c_str(), off_t(after)) == 0);
  header.capacity = after;
  const pid_t child = fork();
  if (child == 0) {
    append(arena, 2, 2, 3000);
    _exit(0);
  }
  int status = 1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  append(arena, 1, 3, 3000);
  CHECK(header.counters.dropped_records == 1);
  CHECK(arena.reaches(after));
  View view(folder);
  std::vector<std::byte> records(view.bytes(after).begin(), view.bytes(after).end());
  const Session session = parse_session(records);
  REQUIRE(session.execs.size() == 2);
  CHECK(whole(session.execs[0]));
  CHECK(whole(session.execs[1]));
}
