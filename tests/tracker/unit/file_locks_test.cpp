// Locks on files: what a child does with its parent's is told, by whichever thread does it, and
// what it does with its own is not. The system calls are real; what their interposer would tell the
// tracker the test tells it.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <vector>

#include "detector/tracker/file_locks.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;
using record::Call;
using record::LockType;

namespace {

class File {
 public:
  File() : stream_(tmpfile()) {
    if (stream_ == nullptr) FAIL("no temporary file");
  }
  ~File() { fclose(stream_); }
  int descriptor() const { return fileno(stream_); }

 private:
  FILE* stream_;
};

FileLockCall call_at(int descriptor, int operation) {
  FileLockCall call{};
  call.descriptor = descriptor;
  call.type = LockType::kFlock;
  call.call = Call::kFlock;
  call.unlocks = (operation & LOCK_UN) != 0;
  call.exclusive = (operation & LOCK_EX) != 0;
  call.whole = true;
  return call;
}

/// As preload/file_lock.cpp does it.
void lock_file(int descriptor, int operation) {
  FileLockCall call = call_at(descriptor, operation);
  if (file_locks_inherited()) meet_file_lock(call);
  if (flock(descriptor, operation | LOCK_NB) == 0) file_locked(call);
}

}  // namespace

TEST_CASE("a child that unlocks its parent's flock lock is told once, what it does next is not") {
  File file;
  lock_file(file.descriptor(), LOCK_EX);
  REQUIRE(test::observed_child([&] {
            lock_file(file.descriptor(), LOCK_UN);
            lock_file(file.descriptor(), LOCK_EX);
            lock_file(file.descriptor(), LOCK_UN);
            return 0;
          }) == 0);
  auto findings = test::findings_of_last_child();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].finding.kind == record::Kind::kSharedDescriptor);
  CHECK(findings[0].finding.lock_type == LockType::kFlock);
  CHECK(findings[0].finding.lock == std::uint64_t(file.descriptor()));
  CHECK(findings[0].finding.lock_words[4] == record::kFileLockReleased);
  lock_file(file.descriptor(), LOCK_UN);
}

TEST_CASE("a file lock that was given back before the fork, or is the child's own, is not told") {
  File file, other;
  lock_file(file.descriptor(), LOCK_EX);
  lock_file(file.descriptor(), LOCK_UN);
  lock_file(other.descriptor(), LOCK_SH);
  REQUIRE(test::observed_child([&] {
            lock_file(file.descriptor(), LOCK_EX);
            lock_file(file.descriptor(), LOCK_UN);
            return 0;
          }) == 0);
  CHECK(test::findings_of_last_child().empty());
  lock_file(other.descriptor(), LOCK_UN);
}

TEST_CASE("several threads of a child that meet one file lock of the parent's") {
  std::vector<File> files(4);
  for (const File& file : files) lock_file(file.descriptor(), LOCK_EX);
  REQUIRE(test::observed_child([&] {
            test::together(4, [&](int index) {
              for (int i = 0; i < 20; ++i)
                lock_file(files[std::size_t(index + i) % files.size()].descriptor(),
                          i % 2 == 0 ? LOCK_UN : LOCK_EX);
            });
            return 0;
          }) == 0);
  auto findings = test::findings_of_last_child();
  CHECK(findings.size() >= 1);
  CHECK(findings.size() <= 16);  // two threads that look at once may both say it
  for (const File& file : files) lock_file(file.descriptor(), LOCK_UN);
}

TEST_CASE("threads that lock files of their own at once, while others ask as before a fork") {
  // Few: the kernel's list is not read in one piece when it is long, and other programs' locks that
  // come and go between the pieces shift it.
  constexpr std::size_t kThreads = 4, kEach = 2;
  std::vector<File> files(kThreads * kEach);
  test::together(int(kThreads), [&](int index) {
    const File* own = &files[std::size_t(index) * kEach];
    for (int round = 0; round < 500; ++round) {
      for (std::size_t i = 0; i < kEach; ++i)
        lock_file(own[i].descriptor(), (std::size_t(round) + i) % 2 == 0 ? LOCK_EX : LOCK_UN);
      if (round % 8 == 0) file_locks_before_fork();
    }
    for (std::size_t i = 0; i < kEach; ++i)  // all of them, in the end
      lock_file(own[i].descriptor(), LOCK_EX);
  });
  REQUIRE(test::observed_child([&] {
            for (const File& file : files) lock_file(file.descriptor(), LOCK_UN);
            return 0;
          }) == 0);
  // Each is known: no entry was lost or taken for another's.
  CHECK(test::findings_of_last_child().size() == files.size());
  for (const File& file : files) lock_file(file.descriptor(), LOCK_UN);
}
