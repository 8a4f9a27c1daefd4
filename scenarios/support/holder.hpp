// Threads that are stopped in the middle of something when the process forks. A Holder has
// something (a lock, or nothing at all) until it is told to give it back:
//
//   main:    Holder(...) ......... returns      fork      finish() ........ returns
//   holder:     acquire() > has it ....................... release() > ends
//
// An object belongs to the thread that made it; it is not for use in a forked child.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

#include "scenarios/support/pause.hpp"

namespace forkscope::scenario {

/// A thread whose `body` comes to the pause once; the destructor lets it go and joins it, also when
/// the fork has failed.
class PausedThread {
 public:
  using Action = std::function<void()>;

  PausedThread(const std::string& name, Pause& pause, const Action& body)
      : pause_(pause), thread_([name, body] {
          pthread_setname_np(pthread_self(), name.c_str());
          body();
        }) {}
  PausedThread(const PausedThread&) = delete;
  PausedThread& operator=(const PausedThread&) = delete;
  ~PausedThread() { finish(); }

  /// Returns when the thread has come to the pause.
  void await() { pause_.await(); }
  /// Tells the thread to go on; does not wait for it.
  void let_go() {
    if (!told_) pause_.let_go();
    told_ = true;
  }
  /// Returns when the thread has gone on and ended.
  void finish() {
    let_go();
    if (thread_.joinable()) thread_.join();
  }

 private:
  Pause& pause_;
  bool told_ = false;
  std::thread thread_;
};

/// Has done `acquire` when it is constructed, and does `release` when it is let go.
class Holder {
 public:
  using Action = PausedThread::Action;

  Holder(const std::string& name, const Action& acquire, const Action& release)
      : thread_(name, pause_, [this, acquire, release] {
          acquire();
          pause_.here();
          release();
        }) {
    thread_.await();
  }
  /// A thread that is there, and no more.
  explicit Holder(const std::string& name)
      : Holder(
            name, [] {}, [] {}) {}

  /// A thread that has taken and given back what it shares with others, and lives on.
  static Holder that_had(const std::string& name, const Action& acquire, const Action& release) {
    return Holder(
        name,
        [acquire, release] {
          acquire();
          release();
        },
        [] {});
  }

  void let_go() { thread_.let_go(); }
  void finish() { thread_.finish(); }

 private:
  Pause pause_;
  PausedThread thread_;
};

}  // namespace forkscope::scenario
