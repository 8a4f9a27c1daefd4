#include "detector/tracker/shared_descriptors.hpp"

#include <linux/kcmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "detector/tracker/descriptor_types.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

constinit unsigned char forkscope_descriptors_watched = 0;

namespace forkscope::shared_descriptors {

namespace {

using namespace record;

enum Side : std::uint32_t { kChildGone = 1, kParentGone = 2 };

/// Of the fork that made this process; null in the first one.
constinit std::atomic<SharedDescriptors*> own{nullptr};
/// Of the latest forks by this process. A daemon's thousandth child is like its first.
constexpr std::uint32_t kChildren = 16;
constinit std::atomic<SharedDescriptors*> children[kChildren] = {};
constinit std::atomic<std::uint32_t> next_child{0};

SharedDescriptor* entries_of(SharedDescriptors* record) {
  return reinterpret_cast<SharedDescriptor*>(record + 1);
}

SharedDescriptor* find(SharedDescriptors* record, int descriptor) {
  SharedDescriptor* begin = entries_of(record);
  SharedDescriptor* end = begin + record->count;
  SharedDescriptor* found = std::lower_bound(
      begin, end, descriptor,
      [](const SharedDescriptor& one, int wanted) { return one.descriptor < wanted; });
  return found != end && found->descriptor == descriptor ? found : nullptr;
}

/// 0: the same open file; more: another, or none; less: the kernel does not tell.
long compare_with(std::int32_t pid, int descriptor) {
  long order = sys::call(SYS_kcmp, sys::getpid(), pid, KCMP_FILE, descriptor, descriptor);
  return order == -EBADF || order == -ESRCH ? 1 : order;
}

/// As far as this process can tell alone.
bool looks_the_same(const SharedDescriptor& one) {
  SharedDescriptor now{};
  return descriptor_types::describe(one.descriptor, now) && now.type == one.type &&
         now.device == one.device && now.inode == one.inode && now.readable == one.readable &&
         now.writable == one.writable;
}

/// The same open file as at the fork; `other` is the other one's pid.
bool is_the_same(const SharedDescriptor& one, std::int32_t other) {
  return looks_the_same(one) &&
         (descriptor_types::has_inode(one.type) || compare_with(other, one.descriptor) == 0);
}

/// `other`: the pid of the other side; 0 while a child that was just made has not written it.
void mark(SharedDescriptor& one, Side side, std::int32_t other, DescriptorCall call,
          const void* caller) {
  auto use = std::size_t(kDescriptorCalls[std::size_t(call)].use);
  DescriptorUsedAt& at = (side == kChildGone ? one.child : one.parent)[use];
  std::atomic_ref<std::uint32_t> first(at.call), gone(one.gone);
  if (first.load(std::memory_order_relaxed) != 0) return;
  if (other == 0 && !descriptor_types::has_inode(one.type)) return;
  if ((gone.load(std::memory_order_relaxed) & side) != 0) return;
  // A vfork child, for example, runs in this memory, and its descriptors are its own.
  if (sys::getpid() != process.pid) return;
  if (!is_the_same(one, other)) {
    gone.fetch_or(side, std::memory_order_relaxed);
    return;
  }
  auto address = reinterpret_cast<std::uint64_t>(caller);
  note_module(address);
  std::atomic_ref(at.caller).store(address, std::memory_order_relaxed);
  std::atomic_ref(at.tid).store(current_tid(), std::memory_order_relaxed);
  first.store(std::uint32_t(call), std::memory_order_release);
}

std::int32_t child_of(SharedDescriptors* record) {
  return std::atomic_ref(record->child).load(std::memory_order_acquire);
}

/// What tells one open file from others; a number where an inode does not.
struct Identity {
  std::uint64_t device, inode;
  std::int32_t descriptor;  ///< -1: any
};
Identity identity_of(const SharedDescriptor& one) {
  return {one.device, one.inode, descriptor_types::has_inode(one.type) ? -1 : one.descriptor};
}
bool operator==(const Identity& a, const Identity& b) {
  return a.device == b.device && a.inode == b.inode && a.descriptor == b.descriptor;
}

constexpr std::uint32_t kStartMost = 64;
constinit Identity start[kStartMost] = {};
constinit std::uint32_t start_count = 0;

// A child whose thread is not known (registry.hpp) has its parent's pointers: the pids tell.
SharedDescriptors* own_record() {
  SharedDescriptors* record = own.load(std::memory_order_acquire);
  return record != nullptr && child_of(record) == process.pid ? record : nullptr;
}
SharedDescriptors* record_of(const std::atomic<SharedDescriptors*>& child) {
  SharedDescriptors* record = child.load(std::memory_order_acquire);
  return record != nullptr && record->parent == process.pid ? record : nullptr;
}

struct Listing {
  SharedDescriptor found[kMaxSharedDescriptors];
  Identity standard[3];
  std::uint32_t standard_count;
};

bool was_given(const Listing& listing, const SharedDescriptor& one) {
  const Identity identity = identity_of(one);
  auto is_it = [&](const Identity& other) { return other == identity; };
  return std::any_of(listing.standard, listing.standard + listing.standard_count, is_it) ||
         std::any_of(start, start + start_count, is_it);
}

/// The open numbers from `first` on, by one call of poll(2) for many: most are not open. All of them
/// where that cannot be asked (RLIMIT_NOFILE is smaller).
std::uint64_t open_of_64(int first) {
  pollfd some[64];
  for (int i = 0; i < 64; ++i) some[i] = {first + i, 0, 0};
  timespec at_once{};
  if (sys::call(SYS_ppoll, sys::arg(some), 64, sys::arg(&at_once), 0, 8) < 0)
    return ~std::uint64_t{0};
  std::uint64_t open = 0;
  for (int i = 0; i < 64; ++i)
    if ((some[i].revents & POLLNVAL) == 0) open |= std::uint64_t{1} << i;
  return open;
}

/// Gives how many there are, also those that did not fit.
std::uint32_t list(Listing& listing) {
  for (int i = 0; i < 3; ++i) {
    SharedDescriptor one{};
    if (descriptor_types::describe(i, one))
      listing.standard[listing.standard_count++] = identity_of(one);
  }
  std::uint32_t total = 0;
  std::uint64_t open = 0;
  for (int i = 0; i <= kMaxSharedDescriptor; ++i) {
    if (i % 64 == 0) open = open_of_64(i);
    if (i < 3 || (open >> i % 64 & 1) == 0) continue;
    SharedDescriptor one{};
    // Parent and child may both write to what is their standard output.
    if (!descriptor_types::describe(i, one) || was_given(listing, one)) continue;
    if (one.type == DescriptorType::kEventfd) one.traits = descriptor_types::semaphore_traits(i);
    if (total < kMaxSharedDescriptors) listing.found[total] = one;
    ++total;
  }
  return total;
}

void keep(ThreadRecord& self, const Listing& listing, std::uint32_t total) {
  SharedDescriptors header{};
  header.fork = self.fork.id;
  header.parent = process.pid;
  header.count = std::min(total, kMaxSharedDescriptors);
  header.total = total;
  auto space = process.reserve(sizeof header + header.count * sizeof(SharedDescriptor));
  if (!space) return;
  Filler fill(space.payload());
  self.fork.descriptors = fill.put(header);
  fill.bytes(listing.found, header.count * sizeof(SharedDescriptor));
}

void publish(SharedDescriptors* record) {
  auto* data = reinterpret_cast<std::byte*>(record) - sizeof(RecordHeader);
  Arena::Space space;
  space.data = data;
  space.offset = std::uint64_t(data - reinterpret_cast<std::byte*>(process.arena.header()));
  space.size = std::uint32_t(sizeof(RecordHeader) + sizeof *record +
                             record->count * sizeof(SharedDescriptor));
  process.publish(space, Type::kSharedDescriptors);
}

}  // namespace

void remember_start() {
  if (!process.options.check_descriptors || !process.arena.attached()) return;
  for (int i = 0; i <= kMaxSharedDescriptor && start_count < kStartMost; ++i) {
    SharedDescriptor one{};
    if (descriptor_types::describe(i, one)) start[start_count++] = identity_of(one);
  }
}

void before_fork(ThreadRecord& self) {
  self.fork.descriptors = nullptr;
  if (!process.options.check_descriptors || !process.arena.attached() || process.arena.crowded())
    return;
  auto* listing = static_cast<Listing*>(sys::map_private(sizeof(Listing)));
  if (listing == nullptr) return;
  const std::uint32_t total = list(*listing);
  if (total > 0) keep(self, *listing, total);
  sys::unmap(listing, sizeof *listing);
  if (self.fork.descriptors != nullptr)
    std::atomic_ref(forkscope_descriptors_watched).store(1, std::memory_order_relaxed);
}

void in_child(ThreadRecord& self) {
  if (!process.options.check_descriptors) return;
  for (auto& child : children) child.store(nullptr, std::memory_order_relaxed);
  SharedDescriptors* record = self.fork.descriptors;
  self.fork.descriptors = nullptr;
  own.store(record, std::memory_order_release);
  if (record == nullptr) return;
  std::atomic_ref(record->child).store(process.pid, std::memory_order_release);
  publish(record);
}

void in_parent(ThreadRecord& self, bool forked) {
  SharedDescriptors* record = self.fork.descriptors;
  self.fork.descriptors = nullptr;
  if (record == nullptr || !forked) return;
  children[next_child.fetch_add(1, std::memory_order_relaxed) % kChildren].store(
      record, std::memory_order_release);
}

void used(DescriptorCall call, int descriptor, const void* caller) {
  if (descriptor < 3 || descriptor > kMaxSharedDescriptor || process.pid == 0) return;
  if (SharedDescriptors* record = own_record())
    if (SharedDescriptor* one = find(record, descriptor))
      mark(*one, kChildGone, record->parent, call, caller);
  for (auto& child : children)
    if (SharedDescriptors* record = record_of(child))
      if (SharedDescriptor* one = find(record, descriptor))
        mark(*one, kParentGone, child_of(record), call, caller);
}

void at_exit() {
  SharedDescriptors* record = own_record();
  if (record == nullptr || sys::getpid() != process.pid) return;
  for (std::uint32_t i = 0; i < record->count; ++i) {
    SharedDescriptor& one = entries_of(record)[i];
    std::atomic_ref gone(one.gone);
    if ((gone.load(std::memory_order_relaxed) & kChildGone) != 0 || !looks_the_same(one)) continue;
    const bool both = compare_with(record->parent, one.descriptor) == 0;
    if (!both && !descriptor_types::has_inode(one.type)) continue;
    std::atomic_ref(one.kept).store(both ? kKeptBoth : kKeptAlone, std::memory_order_relaxed);
  }
}

}  // namespace forkscope::shared_descriptors
