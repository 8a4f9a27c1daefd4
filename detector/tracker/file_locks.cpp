#include "detector/tracker/file_locks.hpp"

#include <sys/stat.h>

#include <atomic>
#include <cstring>

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/kernel_locks.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

/// A lock that was taken; of several in one file the last. Entries are found by `key` and changed
/// by whoever set it to kBusy; what a fork catches there stays so in the child, unknown.
struct Entry {
  std::atomic<std::uint64_t> key;  ///< 0: free
  // Read without claiming the entry: a mixture of two locks is checked with the kernel like any.
  std::atomic<std::uint64_t> device, inode;  ///< as the last fork found them
  std::atomic<const void*> caller;
  std::atomic<std::uint32_t> generation;  ///< of the process that took it
  std::atomic<std::int32_t> pid, tid;     ///< pid 0: free
  std::atomic<std::uint32_t> told;        ///< generation of the process for which it is settled
  std::atomic<bool> exclusive;
};
constexpr std::uint64_t kBusy = ~std::uint64_t{0};
constexpr std::uint32_t kEntries = 256, kProbes = 16;
constinit Entry entries[kEntries] = {};
constinit std::atomic<bool> any{false};

std::uint64_t key_of(const FileLockCall& call) {
  return std::uint64_t(std::uint32_t(call.descriptor)) << 8 | (std::uint64_t(call.type) + 1);
}

int descriptor_of(std::uint64_t key) { return int(key >> 8); }

/// Calls visit(entry, key found there) where `key` may be; stops when it returns true.
template <typename Visit>
bool probe(std::uint64_t key, Visit&& visit) {
  std::uint64_t hash = key * 0x9e3779b97f4a7c15u >> 32;
  for (std::uint32_t i = 0; i < kProbes; ++i) {
    Entry& entry = entries[(hash + i) % kEntries];
    if (visit(entry, entry.key.load(std::memory_order_acquire))) return true;
  }
  return false;
}

/// Takes the entry of `key`, or a free one for it, out of sight of others; null if there is none.
Entry* claim(std::uint64_t key, bool also_free) {
  Entry* claimed = nullptr;
  for (std::uint64_t wanted : {key, std::uint64_t{0}}) {
    if (wanted == 0 && !also_free) break;
    bool done = probe(key, [&](Entry& entry, std::uint64_t found) {
      claimed = &entry;
      return found == wanted && entry.key.compare_exchange_strong(found, kBusy);
    });
    if (done) return claimed;
  }
  return nullptr;
}

Entry* find(std::uint64_t key) {
  Entry* found = nullptr;
  probe(key, [&](Entry& entry, std::uint64_t there) {
    if (there == key) found = &entry;
    return found != nullptr;
  });
  return found;
}

bool identity(int descriptor, struct stat& info) {
  return sys::call(SYS_fstat, descriptor, sys::arg(&info)) == 0;
}

/// "/proc/self/fd/N"
void write_link_name(char* to, int descriptor) {
  *sys::put_number(stpcpy(to, "/proc/self/fd/"), std::uint32_t(descriptor)) = '\0';
}

void tell(const FileLockCall& call, const Entry& entry) {
  char link[40], path[1024];
  write_link_name(link, call.descriptor);
  long length =
      sys::call(SYS_readlinkat, AT_FDCWD, sys::arg(link), sys::arg(path), sizeof path - 1);
  path[length > 0 ? length : 0] = '\0';
  Meeting meeting{};
  meeting.thread = current();
  meeting.object = reinterpret_cast<const void*>(std::uintptr_t(call.descriptor));
  meeting.object_size = 0;
  const std::uint64_t device = entry.device, inode = entry.inode;
  std::memcpy(meeting.words, &device, sizeof device);
  std::memcpy(meeting.words + 2, &inode, sizeof inode);
  meeting.words[4] = call.unlocks ? kFileLockReleased : kFileLockTaken;
  meeting.return_address = call.caller;
  meeting.holder_tid = entry.tid;
  meeting.holder_caller = entry.caller;
  meeting.kind = Kind::kSharedDescriptor;
  meeting.severity = Severity::kHazard;
  meeting.call = call.call;
  meeting.evidence = Evidence::kParentHolds;
  meeting.lock_type = call.type;
  meeting.lock_flags = entry.exclusive ? 0 : kLockReader;
  meeting.living = process.living.load(std::memory_order_relaxed);
  meeting.fork = process.fork_after(entry.generation);
  meeting.text = path;
  write_finding(meeting);
}

/// A shared lock that the parent has, too, stays the parent's: the unlock is what matters.
bool joins_parents(const FileLockCall& call, const Entry& entry) {
  if (entry.pid == 0 || entry.generation >= process.generation) return false;
  if (call.type != LockType::kFlock || call.exclusive || entry.exclusive) return false;
  struct stat info {};
  return identity(call.descriptor, info) && entry.device == info.st_dev &&
         entry.inode == info.st_ino;
}

}  // namespace

bool file_locks_inherited() {
  return process.generation > 0 && any.load(std::memory_order_relaxed);
}

void file_locks_before_fork() {
  if (!any.load(std::memory_order_relaxed)) return;
  for (Entry& entry : entries) {
    std::uint64_t key = entry.key.load(std::memory_order_acquire);
    if (key == 0 || key == kBusy || !entry.key.compare_exchange_strong(key, kBusy)) continue;
    struct stat info {};
    if (entry.generation == process.generation && identity(descriptor_of(key), info)) {
      entry.device = info.st_dev;
      entry.inode = info.st_ino;
    }
    entry.key.store(key, std::memory_order_release);
  }
}

void meet_file_lock(const FileLockCall& call) {
  if (call.descriptor < 0) return;
  Entry* entry = find(key_of(call));
  if (entry == nullptr || entry->generation >= process.generation) return;  // its own
  if (entry->told == process.generation) return;
  // Two that read do not disturb each other, until one of them unlocks for both.
  if (!call.unlocks && !call.exclusive && !entry->exclusive) return;
  struct stat info {};
  if (!identity(call.descriptor, info)) return;
  if (info.st_dev != entry->device || info.st_ino != entry->inode) return;  // opened since
  if (!kernel_locks::same_open_file(entry->pid, call.descriptor)) return;
  bool held = kernel_locks::listed(
      {call.type, entry->pid, entry->device, entry->inode, call.begin, call.end});
  // Once is enough where it is settled: the kernel makes its list slowly (it stops all lockers).
  if (held || call.whole) entry->told = process.generation;
  if (!held) return;
  tell(call, *entry);
}

void file_locked(const FileLockCall& call) {
  if (call.descriptor < 0) return;
  std::uint64_t key = key_of(call);
  if (call.unlocks) {  // of a part: the kernel knows what is left
    Entry* entry = call.whole ? claim(key, false) : nullptr;
    if (entry == nullptr) return;
    entry->pid = 0;
    entry->key.store(0, std::memory_order_release);
    return;
  }
  Entry* entry = claim(key, true);
  if (entry == nullptr) return;
  if (!joins_parents(call, *entry)) {
    entry->device = 0;
    entry->inode = 0;
    entry->caller = call.caller;
    entry->generation = process.generation;
    entry->pid = process.pid;
    entry->tid = current_tid();
    entry->told = 0;
    entry->exclusive = call.exclusive;
    any.store(true, std::memory_order_relaxed);
  }
  entry->key.store(key, std::memory_order_release);
}

bool flock_taken_by(int descriptor) {
  if (!any.load(std::memory_order_relaxed)) return false;
  const Entry* entry = find(key_of({descriptor, LockType::kFlock, Call::kFlock, false, false, true,
                                    nullptr}));
  return entry != nullptr && entry->pid != 0;
}

}  // namespace forkscope
