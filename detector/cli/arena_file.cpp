#include "detector/cli/arena_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>

#include "detector/cli/failure.hpp"

namespace forkscope::cli {
namespace {

using record::ArenaHeader;

/// posix_fallocate, not ftruncate: a store to a page of a full disk would raise SIGBUS in the
/// observed program.
int allocate(int fd, std::uint64_t from, std::uint64_t to) {
  int error;
  do error = posix_fallocate(fd, static_cast<off_t>(from), static_cast<off_t>(to - from));
  while (error == EINTR);
  return error;
}

/// Free storage to aim at. It grows with the session, since who has written much writes fast.
std::uint64_t slack_for(std::uint64_t used) {
  constexpr std::uint64_t kStep = 1u << 20;
  return std::max(record::kArenaInitialSize, used / 4 / kStep * kStep);
}

}  // namespace

ArenaFile::ArenaFile(const std::string& directory) {
  std::string path = directory + "/" + record::kArenaFileName;
  fd_ = UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd_)
    throw Failure(fmt::format("cannot create {}: {}; give another folder with --session=DIR", path,
                              error_text(errno)));
  auto fail = [&](int error) {
    unlink(path.c_str());
    return Failure(
        fmt::format("cannot reserve {} MiB for {}: {}; free some space or give another folder with "
                    "--session=DIR",
                    record::kArenaInitialSize >> 20, path, error_text(error)));
  };
  if (int error = allocate(fd_.get(), 0, record::kArenaInitialSize)) throw fail(error);
  void* memory =
      mmap(nullptr, record::kArenaMaxSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (memory == MAP_FAILED) throw fail(errno);
  struct stat info {};
  if (fstat(fd_.get(), &info) == 0) inode_ = info.st_ino;
  header_ = new (memory) ArenaHeader{};
  header_->version = record::kFormatVersion;
  header_->header_size = record::kArenaHeaderSize;
  header_->capacity = record::kArenaInitialSize;
  header_->tail = record::kArenaHeaderSize;
  header_->next_fork = 1;
  header_->next_image = 1;
  header_->supervisor = getpid();
  std::memcpy(header_->magic, record::kArenaMagic, sizeof header_->magic);
}

ArenaFile::~ArenaFile() {
  if (header_ != nullptr) munmap(header_, record::kArenaMaxSize);
}

void ArenaFile::grow_if_needed() {
  std::uint64_t capacity = header_->capacity.load(std::memory_order_relaxed);
  std::uint64_t tail = header_->tail.load(std::memory_order_relaxed);
  if (growth_error_ != 0 || capacity >= record::kArenaMaxSize) return;
  std::uint64_t slack = slack_for(tail);
  if (capacity > tail && capacity - tail >= slack / 2) return;
  // Past the capacity `tail` counts attempts, not bytes: do not let it choose the size.
  std::uint64_t wanted = std::min(std::min(tail, capacity) + slack, record::kArenaMaxSize);
  growth_error_ = allocate(fd_.get(), capacity, wanted);
  // Release: whoever sees the new capacity may store below it.
  if (growth_error_ == 0) header_->capacity.store(wanted, std::memory_order_release);
}

std::uint32_t ArenaFile::wake() const { return header_->wake.load(std::memory_order_acquire); }

std::uint64_t ArenaFile::used() const { return header_->tail.load(std::memory_order_relaxed); }

std::uint64_t ArenaFile::forks() const {
  return header_->counters.forks.load(std::memory_order_relaxed);
}

void ArenaFile::wait_for_wake(std::uint32_t seen, std::chrono::milliseconds longest) const {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(longest);
  const timespec time{seconds.count(), std::chrono::nanoseconds(longest - seconds).count()};
  syscall(SYS_futex, &header_->wake, FUTEX_WAIT, seen, &time, nullptr, 0);
}

void ArenaFile::end_wait() const {
  header_->wake.fetch_add(1, std::memory_order_release);
  syscall(SYS_futex, &header_->wake, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void ArenaFile::take_looks(bool taken) const {
  header_->looks_taken.store(taken, std::memory_order_relaxed);
}

std::vector<ArenaFile::Look> ArenaFile::looks() const {
  std::vector<Look> looks;
  for (std::atomic<std::uint64_t>& entry : header_->looks) {
    const std::uint64_t record = entry.load(std::memory_order_acquire);
    if (record == 0) continue;
    const std::byte* written = record_at(record);
    if (written == nullptr) {
      entry.store(0, std::memory_order_relaxed);
      continue;
    }
    const auto* head = reinterpret_cast<const record::RecordHeader*>(written);
    const auto& finding = *reinterpret_cast<const record::Finding*>(head + 1);
    // The forking thread itself lives on there, too, and has another lock.
    const bool itself = finding.kind == record::Kind::kSelfHeldLock ||
                        finding.kind == record::Kind::kStaleOwner;
    looks.push_back({record, head->pid, head->tid, itself ? 0 : finding.holder_tid});
  }
  return looks;
}

void ArenaFile::answer_look(std::uint64_t record) const {
  if (std::byte* written = record_at(record)) {
    auto& finding = *reinterpret_cast<record::Finding*>(written + sizeof(record::RecordHeader));
    std::atomic_ref(finding.looked_at).store(1, std::memory_order_release);
    syscall(SYS_futex, &finding.looked_at, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  for (std::atomic<std::uint64_t>& entry : header_->looks) {
    std::uint64_t asked = record;
    entry.compare_exchange_strong(asked, 0, std::memory_order_relaxed);
  }
}

/// Null where there is no finding: who writes to the arena is not to be trusted.
std::byte* ArenaFile::record_at(std::uint64_t offset) const {
  constexpr std::uint64_t kSize = sizeof(record::RecordHeader) + sizeof(record::Finding);
  if (offset < record::kArenaHeaderSize || offset % record::kRecordAlign != 0 ||
      offset > header_->capacity.load(std::memory_order_acquire) - kSize)
    return nullptr;
  std::byte* at = reinterpret_cast<std::byte*>(header_) + offset;
  const auto* head = reinterpret_cast<const record::RecordHeader*>(at);
  const bool is_finding = head->magic.load(std::memory_order_acquire) == record::kRecordMagic &&
                          head->type == record::Type::kFinding;
  return is_finding ? at : nullptr;
}

std::vector<std::byte> ArenaFile::snapshot() const {
  std::uint64_t capacity = header_->capacity.load(std::memory_order_acquire);
  std::uint64_t size = std::min(capacity, header_->tail.load(std::memory_order_acquire));
  std::vector<std::byte> copy(size / sizeof(std::uint64_t) * sizeof(std::uint64_t));
  auto* from = reinterpret_cast<std::uint64_t*>(header_);
  // Word by word in ascending order with acquire loads, not memcpy: a record's magic is its first
  // word and stored last, so who copies the magic first copies a complete record after it.
  for (std::size_t i = 0; i < copy.size() / sizeof *from; ++i) {
    std::uint64_t word = std::atomic_ref<std::uint64_t>(from[i]).load(std::memory_order_acquire);
    std::memcpy(copy.data() + i * sizeof word, &word, sizeof word);
  }
  return copy;
}

}  // namespace forkscope::cli
