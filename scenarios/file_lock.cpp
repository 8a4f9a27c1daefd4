// Scenario file-lock: locks on files across fork, of which none hangs and two surprise.
//
// A flock(2) lock belongs to the open file, which parent and child share: the child that unlocks
// has unlocked for the parent. An fcntl(2) record lock belongs to the process: the child has none,
// and is refused what it believes to have inherited.
//
//   parent: flock(LOCK_EX) > fork                            > the file is free for anybody
//   worker:                       flock(LOCK_UN), to be tidy
//
//   parent: fcntl(F_SETLK) > fork
//   worker:                       fcntl(F_SETLK) > EAGAIN
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const ExpectedFinding kShared = {"shared-descriptor", "hazard"};

const Description kDescription = {
    .name = "file-lock",
    .title = "locks on files across fork: flock is shared, record locks are not inherited",
    .cause =
        "The parent holds a lock on a file at the fork. A flock lock belongs to the open file "
        "that both now have, so the child's LOCK_UN takes it from the parent. A record lock "
        "belongs to the process, so the child holds nothing and is refused.",
    .mechanism =
        "The worker unlocks, or asks for the lock; the parent then tries the file through "
        "an open of its own.",
    .cure =
        "Let the child close what it inherited and open the file anew. Locks of the open file "
        "(F_OFD_SETLK) and flock must be unlocked by one process only.",
    .source = "scenarios/file_lock.cpp",
    .methods = {
        completes("fork-unlock", {kShared}, "the worker unlocks what the parent locked"),
        completes("fork-record", {kShared}, "the worker asks for the parent's record lock"),
        waits("fork-wait-flock", {},
              "the worker waits for a flock that the parent keeps until the worker has ended"),
        waits("fork-wait-record", {kShared}, "the same with a record lock"),
        silent("fork-own-open", "control: the worker opens the file anew and finds it locked"),
    }};

/// The file that is locked, removed at the end.
struct LockFile {
  std::string path = std::filesystem::temp_directory_path() / "queue.lock.XXXXXX";
  Descriptor file{mkostemp(path.data(), O_CLOEXEC)};
  LockFile() {
    if (file.get() < 0) throw_errno("cannot create " + path);
  }
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;
  ~LockFile() { unlink(path.c_str()); }
};

/// A lock on the whole file, without waiting; gives the error.
int record_lock(int file) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  return fcntl(file, F_SETLK, &whole) == 0 ? 0 : errno;
}

/// The parent waits for the worker, and the worker for the parent's lock.
[[gnu::noinline]] int wait_for_flock(const std::string& path) {
  const Descriptor own(open(path.c_str(), O_RDWR | O_CLOEXEC));
  return flock(own.get(), LOCK_EX);
}

[[gnu::noinline]] int wait_for_record_lock(int file) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  return fcntl(file, F_SETLKW, &whole);
}

/// Asks for the lock through an open of its own; gives the error.
int lock_anew(const std::string& path) {
  const Descriptor own(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (own.get() < 0) throw_errno("cannot open " + path);
  return flock(own.get(), LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

void must_be(bool truth, const char* otherwise) {
  if (!truth) throw std::logic_error(otherwise);
}

int parent(const Options& options) {
  const LockFile lock;
  const int file = lock.file.get();
  for (int number = 1; number <= options.workers; ++number) {
    Worker worker;
    if (options.method == "fork-wait-record") {
      must_be(record_lock(file) == 0, "the parent gets no record lock");
      worker = fork_worker([&] { return wait_for_record_lock(file); });
    } else if (options.method == "fork-record") {
      must_be(record_lock(file) == 0, "the parent gets no record lock");
      worker = fork_worker([&] {
        const int error = record_lock(file);
        must_be(error == EAGAIN || error == EACCES, "the worker has a record lock");
        return 0;
      });
    } else {
      if (flock(file, LOCK_EX) != 0) throw_errno("cannot lock " + lock.path);
      if (options.method == "fork-wait-flock") {
        worker = fork_worker([&] { return wait_for_flock(lock.path); });
      } else if (options.method == "fork-unlock") {
        worker = fork_worker([&] { return flock(file, LOCK_UN); });
      } else {
        worker = fork_worker([&] {
          must_be(lock_anew(lock.path) == EWOULDBLOCK, "the worker gets a lock that is taken");
          return 0;
        });
      }
    }
    const int status = follow(std::move(worker), number, options.patience, 0);
    if (status != kAllDone) return status;
    // A third open of the file tells whether the parent still has what it took.
    if (options.method == "fork-unlock")
      must_be(lock_anew(lock.path) == 0, "the parent still has its lock");
    if (options.method == "fork-own-open")
      must_be(lock_anew(lock.path) == EWOULDBLOCK, "the parent has lost its lock");
  }
  return kAllDone;
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, {parent, {}}); }
