#include "detector/tracker/arena.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "detector/tracker/checkers.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

/// A session without the command: the first process makes the file, once and for all its size.
/// O_EXCL decides who; the others map it as it is and see the magic when it is complete.
constexpr std::uint64_t kUnsupervisedSize = 16u << 20;
constexpr std::uint64_t kPage = 4096;
/// Where a program may have no more address space than this, the library has no business in it.
constexpr std::uint64_t kLeastLeft = 512u << 10;

rlim_t limit(int resource) {
  rlimit now{};
  return sys::call(SYS_prlimit64, 0, resource, 0, sys::arg(&now)) < 0 ? RLIM_INFINITY
                                                                      : now.rlim_cur;
}

long create(const char* path) {
  if (limit(RLIMIT_FSIZE) < kUnsupervisedSize) return -EFBIG;  // else the kernel sends SIGXFSZ
  long fd =
      sys::call(SYS_openat, AT_FDCWD, sys::arg(path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fd;
  long failed = sys::call(SYS_fallocate, fd, 0, 0, long(kUnsupervisedSize));
  if (failed < 0) {
    sys::call(SYS_unlinkat, AT_FDCWD, sys::arg(path), 0);
    sys::close(int(fd));
    return failed;
  }
  alignas(8) std::byte page[sizeof(ArenaHeader)] = {};
  auto* header = reinterpret_cast<ArenaHeader*>(page);
  header->version = kFormatVersion;
  header->header_size = kArenaHeaderSize;
  header->capacity.store(kUnsupervisedSize, std::memory_order_relaxed);
  header->tail.store(kArenaHeaderSize, std::memory_order_relaxed);
  header->next_fork.store(1, std::memory_order_relaxed);
  header->next_image.store(1, std::memory_order_relaxed);
  std::memcpy(header->magic, kArenaMagic, sizeof kArenaMagic);
  sys::call(SYS_pwrite64, fd, sys::arg(page), sizeof page, 0);
  return fd;
}

/// Bytes of address space the program has by now, as RLIMIT_AS counts them. Too many where there is
/// no /proc to tell.
std::uint64_t address_space_used() {
  constexpr std::uint64_t kUnknown = 64u << 20;
  char text[32] = {};  // /proc/PID/statm begins with them, in pages
  const long fd = sys::openat("/proc/self/statm", O_RDONLY);
  if (fd < 0) return kUnknown;
  const long size = sys::pread(int(fd), text, sizeof text - 1, 0);
  sys::close(int(fd));
  std::uint64_t pages = 0;
  for (const char* at = text; *at >= '0' && *at <= '9'; ++at) pages = pages * 10 + (*at - '0');
  return size > 0 ? pages * kPage : kUnknown;
}

/// How much of it to set aside. Where it is limited the program needs what is left: for its stack to
/// grow, too, which ends in SIGSEGV where it cannot.
std::uint64_t address_space() {
  const rlim_t most = limit(RLIMIT_AS);
  if (most == RLIM_INFINITY) return kArenaMaxSize;
  const std::uint64_t used = address_space_used();
  const std::uint64_t left = most > used ? most - used : 0;
  if (left < kLeastLeft) return kArenaHeaderSize;
  return std::min(left / 8 & ~(kPage - 1), kArenaInitialSize);
}

}  // namespace

const char Arena::kNoRoom[] = "its address space is limited";

const char* Arena::open(const char* directory) {
  char path[1100];
  std::size_t length = std::strlen(directory);
  if (length == 0 || length + sizeof "/records" > sizeof path) return "its path is too long";
  std::memcpy(path, directory, length);
  path[length] = '/';
  std::memcpy(path + length + 1, kArenaFileName, std::strlen(kArenaFileName) + 1);

  long fd = sys::openat(path, O_RDWR);
  if (fd == -ENOENT) fd = create(path);
  if (fd == -EEXIST) fd = sys::openat(path, O_RDWR);
  if (fd < 0) return "its file `records` can be neither opened nor created";
  struct stat info {};
  if (sys::call(SYS_fstat, fd, sys::arg(&info)) < 0 || info.st_size < long(kArenaHeaderSize)) {
    sys::close(int(fd));
    return "its file `records` is not a forkscope session";
  }
  const std::uint64_t size = address_space();
  long mapped = sys::call(SYS_mmap, 0, long(size), PROT_NONE, MAP_SHARED, fd, 0);
  sys::close(int(fd));
  if (mapped < 0 && mapped > -4096) return "its file `records` cannot be mapped";
  auto* header = reinterpret_cast<ArenaHeader*>(mapped);
  if (sys::call(SYS_mprotect, mapped, kArenaHeaderSize, PROT_READ | PROT_WRITE) < 0 ||
      std::memcmp(header->magic, kArenaMagic, sizeof kArenaMagic) != 0 ||
      header->version != kFormatVersion) {
    sys::call(SYS_munmap, mapped, long(size));
    return "its file `records` is of another version of forkscope";
  }
  header_ = header;
  if (size == kArenaHeaderSize) {
    header->counters.cramped.fetch_add(1, std::memory_order_relaxed);
    sys::call(SYS_munmap, mapped, long(size));
    return kNoRoom;
  }
  checkers::leave_alone(header, size);
  mapped_ = size;
  accessible_.store(kArenaHeaderSize, std::memory_order_relaxed);
  return nullptr;
}

/// Idempotent, so that threads, signal handlers and children of vfork may do it at once.
bool Arena::open_up(std::uint64_t end) {
  const std::uint64_t capacity =
      std::min(header_->capacity.load(std::memory_order_acquire) & ~(kPage - 1), mapped_);
  if (end > capacity) return false;
  if (sys::call(SYS_mprotect, sys::arg(header_), long(capacity), PROT_READ | PROT_WRITE) < 0)
    return false;
  accessible_.store(capacity, std::memory_order_release);
  return true;
}

bool Arena::crowded() const {
  return header_ != nullptr &&
         header_->tail.load(std::memory_order_relaxed) > kArenaMaxSize / 8 * kArenaBoringEighths;
}

Arena::Repeat Arena::repeat(std::uint64_t key) {
  if (header_ == nullptr) return {};
  for (std::uint32_t i = 0; i < kRepeats; ++i) {
    auto& entry = header_->repeats[i];
    std::uint64_t found = 0;
    const bool first = entry.key.compare_exchange_strong(found, key, std::memory_order_relaxed);
    if (!first && found != key) continue;
    entry.count.fetch_add(1, std::memory_order_relaxed);
    return {first, i};
  }
  header_->counters.dropped_records.fetch_add(1, std::memory_order_relaxed);
  return {};
}

std::uint64_t Arena::room() const {
  if (header_ == nullptr) return 0;
  std::uint64_t capacity = std::min(header_->capacity.load(std::memory_order_relaxed), mapped_);
  std::uint64_t tail = header_->tail.load(std::memory_order_relaxed);
  return tail < capacity ? capacity - tail : 0;
}

Arena::Space Arena::reserve(std::uint64_t payload, For use) {
  if (header_ == nullptr) return {};
  std::uint64_t size = sizeof(RecordHeader) + payload;
  std::uint64_t most = use == For::kFinding ? mapped_ : mapped_ / 8 * 7;
  std::uint64_t capacity = std::min(header_->capacity.load(std::memory_order_acquire), most);
  // Look before adding, so that a full arena does not push the tail on without end.
  if (header_->tail.load(std::memory_order_relaxed) + padded(size) <= capacity) {
    std::uint64_t offset = header_->tail.fetch_add(padded(size), std::memory_order_relaxed);
    if (offset + padded(size) <= capacity && reaches(offset + padded(size)))
      return {reinterpret_cast<std::byte*>(header_) + offset, offset, std::uint32_t(size)};
  }
  if (mapped_ < kArenaMaxSize && !cramped_.exchange(true, std::memory_order_relaxed))
    header_->counters.cramped.fetch_add(1, std::memory_order_relaxed);
  header_->counters.dropped_records.fetch_add(1, std::memory_order_relaxed);
  return {};
}

void Arena::publish(const Space& space, Type type, std::int32_t pid, std::int32_t tid,
                    std::uint32_t image, std::uint64_t time, bool probe) {
  auto* header = reinterpret_cast<RecordHeader*>(space.data);
  header->check = header_check(space.offset, type, space.size, pid, time);
  header->type = type;
  header->version = kFormatVersion;
  header->size = space.size;
  header->pid = pid;
  header->tid = tid;
  header->image = image;
  header->probe = probe;
  header->time = time;
  header->magic.store(kRecordMagic, std::memory_order_release);
}

}  // namespace forkscope
