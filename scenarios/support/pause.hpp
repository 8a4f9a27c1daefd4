// Points at which a thread stays until it is let go, so that a fork meets it exactly there.
//
// Made of eventfd(2) alone: no mutex and no futex that a reader, or a tool that watches the
// program, could take for the lock the scenario is about. Thread-safe. A forked child shares the
// counters: a Gate can let it go on, and no child but the one that is meant may touch it.
#pragma once

#include <sys/eventfd.h>

#include "scenarios/support/descriptor.hpp"

namespace forkscope::scenario {

/// Each open() lets one wait() pass, in whichever order they come.
class Gate {
 public:
  Gate() : event_(eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE)) {
    if (event_.get() < 0) throw_errno("cannot make an eventfd");
  }
  void open() {
    if (eventfd_write(event_.get(), 1) != 0) throw_errno("cannot open a gate");
  }
  void wait() {
    eventfd_t value = 0;
    while (eventfd_read(event_.get(), &value) != 0)
      if (errno != EINTR) throw_errno("cannot wait at a gate");
  }

 private:
  Descriptor event_;
};

/// A thread that comes here() stays until it is let_go(); await() returns once it has come.
class Pause {
 public:
  void here() {
    arrived_.open();
    leave_.wait();
  }
  void await() { arrived_.wait(); }
  void let_go() { leave_.open(); }

 private:
  Gate arrived_, leave_;
};

}  // namespace forkscope::scenario
