// Evidence on a forked child, written down by hand in a few lines:
//
//   Story story;                                     // process 200, a copy of process 100
//   story.parent(Thread(101, "reader").idles());     // was not copied
//   story.child(Thread(200).waits(mutex(101)));      // the child's first thread
//   Diagnosis diagnosis = story.judge();
//
// What a story does not say is as it is most often: everybody sleeps, all could be read.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope::test::outside {

constexpr std::int32_t kParent = 100, kChild = 200;
constexpr std::uint64_t kForkTime = 5000;  ///< clock ticks: when the child was created

inline const std::string kApp = "/opt/app/bin/table", kPool = "/opt/app/lib/libpool.so.1",
                         kLibcFile = "/usr/lib/x86_64-linux-gnu/libc.so.6";

/// Where the locks of the stories lie. The DataNamer of a story names the first "file_lock".
constexpr std::uint64_t kLock = 0x555500010040, kOtherLock = 0x555500010840,
                        kLibcLockWord = 0x7f0000200100, kSharedWord = 0x7f0000400000;

/// "function@module" as a frame; modules: app, pool, libc, or a path.
Frame frame(const std::string& text);

/// A word that is waited for, and the memory around it.
struct Word {
  std::uint64_t address = kLock;
  int operation = 0x80;  ///< FUTEX_WAIT | FUTEX_PRIVATE_FLAG
  std::uint32_t expected = 0;
  bool timed = false;
  std::vector<std::uint32_t> words;    ///< of the lock, from its start
  std::int64_t offset = 0;             ///< of the awaited word in the lock
  std::vector<const char*> functions;  ///< that wait for such a lock, innermost first

  Word at(std::uint64_t where) const;
  Word for_a_time() const;
  Word without_private_flag() const;
  Word with_operation(int value) const;
};

Word mutex(std::int32_t owner, std::uint32_t kind = 0);
Word rwlock_written(std::int32_t owner);
Word pi_mutex(std::int32_t owner);
Word semaphore();
Word condition();
Word join(std::int32_t tid);
/// A bare word, waited for through syscall() by code that nobody knows.
Word unknown_word();
Word libc_lock();
Word rust_condvar();

class Thread {
 public:
  explicit Thread(std::int32_t tid, const std::string& name = "table");

  Thread& waits(const Word& word);
  /// In wait4, epoll_wait, read, clock_nanosleep or exit: waits of other kinds.
  Thread& in_call(const std::string& name);
  Thread& idles();  ///< as a worker of a pool: waits for a condition variable in libpool
  Thread& runs();
  Thread& state(char state);
  Thread& unsettled();
  Thread& short_stack();  ///< the stack could not be read to its end
  Thread& unreadable();
  Thread& own_tid(std::int32_t tid);
  Thread& started(std::uint64_t ticks);
  Thread& starts_in(const std::string& frame);
  /// Frames outside those of the wait, innermost first.
  Thread& from(std::initializer_list<const char*> frames);

  /// As evidence: numbers of system calls differ.
  ThreadEvidence evidence(Abi abi) const;
  const std::vector<MemoryBytes>& memory() const { return memory_; }

 private:
  friend class Story;
  ThreadEvidence thread_;
  int x86_64_ = -1, generic_ = -1;
  std::vector<Frame> outer_;
  std::vector<MemoryBytes> memory_;
};

class Story {
 public:
  explicit Story(Abi abi = Abi::kX86_64);

  Story& child(const Thread& thread);   ///< the first thread, in place of an earlier one
  Story& beside(const Thread& thread);  ///< another thread of the child
  Story& parent(const Thread& thread);  ///< another thread of the parent
  Story& parent_main(const Thread& thread);
  Story& lasted() { return evidence.lasted = true, *this; }
  Story& parent_gone();
  Story& not_forked();
  /// The child's glibc still knows of a thread that was not copied.
  Story& remembers(const std::string& start_routine);

  Diagnosis judge() const;

  Evidence evidence;

 private:
  Abi abi_;
};

/// Whether some text of the diagnosis that people read holds these words: sentence or reasons.
bool says(const Diagnosis& diagnosis, const std::string& words);

}  // namespace forkscope::test::outside
