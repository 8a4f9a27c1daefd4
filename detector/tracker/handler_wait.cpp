#include "detector/tracker/handler_wait.hpp"

#include <linux/futex.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "detector/tracker/conclusion.hpp"
#include "detector/tracker/handler_trace.hpp"
#include "detector/tracker/handlers.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

constexpr std::uint32_t kMostThreads = 16;

const ThreadRecord* living_thread(std::int32_t tid) {
  const ThreadRecord* found = nullptr;
  registry.each([&](const ThreadRecord& thread) {
    if (thread.tid == tid && thread.generation >= process.generation &&
        thread.life.load(std::memory_order_acquire) == Life::kAlive)
      found = &thread;
    return found == nullptr;
  });
  return found;
}

/// The next number of "202 0x7ffd... 0x80 0x2 0x0 ...", decimal or with 0x.
bool next_number(const char*& text, std::uint64_t& value) {
  while (*text == ' ') ++text;
  const bool hex = text[0] == '0' && text[1] == 'x';
  if (hex) text += 2;
  const char* begin = text;
  value = 0;
  for (;; ++text) {
    std::uint64_t digit = 16;
    if (*text >= '0' && *text <= '9') digit = std::uint64_t(*text - '0');
    if (hex && *text >= 'a' && *text <= 'f') digit = std::uint64_t(*text - 'a') + 10;
    if (digit == 16) return text != begin;
    value = value * (hex ? 16 : 10) + digit;
  }
}

/// The futex word that a thread sleeps at without a limit, as the kernel says; 0: none.
std::uint64_t sleeps_at(std::int32_t tid) {
  char path[48] = "/proc/self/task/", digits[12];
  std::size_t length = std::strlen(path), count = 0;
  for (std::int32_t rest = tid; rest > 0; rest /= 10) digits[count++] = char('0' + rest % 10);
  while (count > 0) path[length++] = digits[--count];
  std::memcpy(path + length, "/syscall", sizeof "/syscall");
  const long file = sys::openat(path, O_RDONLY);
  if (file < 0) return 0;
  char text[256];
  const long size = sys::pread(int(file), text, sizeof text - 1, 0);
  sys::close(int(file));
  if (size <= 0) return 0;
  text[size] = '\0';  // "running", "-1 ..." have no number here
  const char* at = text;
  std::uint64_t number, word, operation, expected, timeout;
  if (!next_number(at, number) || !next_number(at, word) || !next_number(at, operation) ||
      !next_number(at, expected) || !next_number(at, timeout))
    return 0;
  const std::uint64_t command = operation & FUTEX_CMD_MASK;
  const bool waits = number == SYS_futex && (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET);
  return waits && timeout == 0 ? word : 0;
}

struct Ring {
  std::uint32_t count = 0;
  const ThreadRecord* threads[kMostThreads] = {};
  bool closed = false;

  bool operator==(const Ring&) const = default;
};

/// The mutex whose first word this is, if that thread's table says that it is after it.
const void* mutex_wanted(const ThreadRecord& thread, std::uint64_t word) {
  const void* mutex = nullptr;
  thread.each([&](const Recorded& one) {
    if (one.hold == Hold::kOwnerWord && reinterpret_cast<std::uint64_t>(one.lock) == word)
      mutex = one.lock;
    return mutex == nullptr;
  });
  return mutex;
}

Ring ring_from(const ThreadRecord& self, const void* mutex) {
  Ring ring;
  while (ring.count < kMostThreads) {
    if (!sys::readable(mutex, sizeof(pthread_mutex_t))) break;
    const std::int32_t owner = MutexWords(mutex).owner();
    if (owner == self.tid) {
      ring.closed = true;
      break;
    }
    const ThreadRecord* thread = owner != 0 ? living_thread(owner) : nullptr;
    if (thread == nullptr) break;
    ring.threads[ring.count++] = thread;
    const std::uint64_t word = sleeps_at(owner);
    mutex = word != 0 ? mutex_wanted(*thread, word) : nullptr;
    if (mutex == nullptr) break;
  }
  return ring;
}

/// Where its table says that it took the mutex.
const void* where_taken(const ThreadRecord& holder, const void* mutex) {
  const void* caller = nullptr;
  holder.each([&](const Recorded& one) {
    if (one.lock == mutex) caller = reinterpret_cast<const void*>(one.caller);
    return caller == nullptr;
  });
  return caller;
}

}  // namespace

bool handler_waits(ThreadRecord& thread, const void* mutex) {
  MutexWords words(mutex);
  if (live_handler(thread) == nullptr || !words.plausible()) return false;
  // The kernel may know no wait for a PI mutex with a limit on our clock; an owner in another
  // process is none of ours.
  if ((words.flags() & (kLockPi | kLockPp | kLockPshared)) != 0) return false;
  if (const std::int32_t owner = words.owner(); owner != 0 && owner != thread.tid)
    handler_trace::note_contended(thread, owner);
  return true;
}

Met meet_in_handler(ThreadRecord& thread, const void* mutex, Call call, const void* return_address,
                    bool last_look) {
  MutexWords words(mutex);
  const Ring ring = ring_from(thread, mutex);
  // What was seen first still holds if all of it is seen once more.
  const bool closed = ring.closed && ring == ring_from(thread, mutex);
  const std::int32_t owner = words.owner();
  if (owner == 0 || (!closed && !last_look)) return {};
  Meeting meeting;
  meeting.thread = &thread;
  meeting.object = mutex;
  meeting.return_address = return_address;
  meeting.kind = Kind::kAtforkHandler;
  meeting.severity = closed ? Severity::kDeadlock : Severity::kHazard;
  meeting.evidence = closed ? Evidence::kLockCycle : Evidence::kOwnerWord;
  meeting.call = call;
  meeting.lock_type = words.type();
  meeting.lock_flags = words.flags();
  meeting.holder_tid = owner;
  meeting.holder = owner == thread.tid ? &thread : ring.count > 0 ? ring.threads[0] : nullptr;
  // One that runs on changes its table: of that only a word is believed.
  if (meeting.holder != nullptr && !closed)
    meeting.holder_caller = where_taken(*meeting.holder, mutex);
  meeting.living = process.living.load(std::memory_order_relaxed);
  meeting.fork = thread.fork.id;
  if (!closed && meeting.holder_caller == nullptr) meeting.holder = nullptr;
  return {conclude(meeting, false).finding, false, false};
}

}  // namespace forkscope
