// One thread of the evidence, understood: what it waits for, which lock that is, who owns it.
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/known_waits.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/waits.hpp"

namespace forkscope {

/// Who can end the wait of a thread.
enum class Reach {
  kItself,   ///< nobody needs to: it runs, or a time limit ends it
  kInside,   ///< only another thread of the process
  kOutside,  ///< another process, the kernel, a debugger; or not known
};

struct ThreadView {
  const ThreadEvidence* thread = nullptr;
  Wait wait;
  Reach reach = Reach::kOutside;
  RecognisedLock lock;  ///< of a futex wait
  LockFamily family = LockFamily::kUnknown;  ///< lock.family, if it is at least likely
  LockOwner owner;
  KnownWait known;  ///< of a futex wait: what a library has built on it
  /// A lock that stays locked until its holder releases it, whatever else happens.
  bool must_be_released() const {
    return is_owned(family) || known.purpose == Purpose::kLock;
  }
  /// Something that is taken and released, whether the holder alone may do that or anybody.
  bool is_lock() const { return is_owned(family) || known.is_lock(); }
  /// The lock's holder is known, and it is not in this process: nobody here may release it.
  bool owner_absent() const {
    return owner.where == LockOwner::Where::kAncestor || owner.where == LockOwner::Where::kGone ||
           owner.where == LockOwner::Where::kItself;
  }
  bool ended() const { return thread->state == 'Z' || thread->state == 'X'; }
  /// It sleeps, for ever, in a wait that only this process can end.
  bool closed() const {
    return reach == Reach::kInside && wait.for_ever && thread->settled;
  }
};

/// It waits for a lock whose words do not tell who holds it.
bool is_ownerless_lock(const ThreadView& view);

std::vector<ThreadView> view_threads(const Evidence& evidence);

/// Threads of the nearest ancestor that lived when the child was created, without the one that
/// forked. Empty when there is no ancestor.
std::vector<const ThreadEvidence*> lost_threads(const Evidence& evidence);
/// The thread of the nearest ancestor that forked the child: the one on whose stack the child's
/// first thread runs. Null when that cannot be told.
const ThreadEvidence* forking_thread(const Evidence& evidence);

/// The innermost frame that is neither libc's nor the C++ library's, null without.
const Frame* innermost_program_frame(const std::vector<Frame>& stack);
/// libc's function that the program called: the outermost of the innermost frames in libc.
const Frame* called_libc_function(const std::vector<Frame>& stack);
bool is_libc_module(const std::string& path);

/// "pool-worker-" for "pool-worker-12": what the threads of a pool have in common.
std::string name_stem(const std::string& name);

}  // namespace forkscope
