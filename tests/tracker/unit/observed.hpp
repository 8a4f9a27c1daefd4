// This test program as an observed process: set up as the preload library's constructor does it
// (preload/init.cpp), but without interposers. What an interposer would tell the tracker, the tests
// tell it themselves.
//
// observed_child() from one thread at a time; everything else is thread-safe.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <string>

#include "detector/record/session.hpp"
#include "detector/tracker/registry.hpp"

namespace forkscope::test {

/// What a child ends with that would have waited for ever.
inline constexpr int kDeadlock = 86;

/// Runs body() in a forked child, with what the fork wrappers and at-fork handlers tell the
/// tracker. Its exit status, or 128 and the signal that ended it.
int observed_child(const std::function<int()>& body);

/// attach_current_thread() for a thread that ends before the program does.
void attach_test_thread();

/// Runs body(index) in `count` threads that the tracker knows and that begin together.
void together(int count, const std::function<void(int)>& body);

/// What this program and its children have recorded so far.
Session recorded();

/// The findings of the last observed_child().
std::vector<FindingRecord> findings_of_last_child();

/// Memory in the place of a caller's stack, for table::push() and want(): two pages, and none after
/// them. In a real frame, AddressSanitizer would object to the words between the variables.
class CallStack {
 public:
  CallStack();
  ~CallStack();
  CallStack(const CallStack&) = delete;
  CallStack& operator=(const CallStack&) = delete;

  static constexpr std::size_t kSize = 8192;
  /// The stack pointer with `left` bytes of stack above it, a multiple of 8.
  std::uint64_t* at(std::size_t left = 1024) const {
    return reinterpret_cast<std::uint64_t*>(base_ + kSize - left);
  }

 private:
  char* base_;
};

/// A thread that has taken something and keeps it for as long as this object lives.
class Keeper {
 public:
  Keeper(std::function<void()> take, std::function<void()> give);
  ~Keeper();
  std::int32_t tid() const { return tid_; }
  pthread_t handle() const { return thread_; }

 private:
  static void* run(void* keeper);
  std::function<void()> take_, give_;
  pthread_barrier_t step_;
  pthread_t thread_;
  std::int32_t tid_ = 0;
};

}  // namespace forkscope::test
