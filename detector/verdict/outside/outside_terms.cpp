// The words of the JSON reports for what is enumerated. The switches have no default, so that the
// compiler names a forgotten enumerator.
#include "detector/verdict/outside/outside_words.hpp"

namespace forkscope {

using Where = LockOwner::Where;

std::string answer_word(Answer answer) {
  switch (answer) {
    case Answer::kDeadlock:
      return "deadlock";
    case Answer::kProbable:
      return "probable";
    case Answer::kStuck:
      return "stuck";
    case Answer::kWaiting:
      return "waiting";
    case Answer::kRunning:
      return "running";
    case Answer::kEnded:
      return "ended";
    case Answer::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::string ground_word(Ground ground) {
  switch (ground) {
    case Ground::kNone:
      return "";
    case Ground::kOwnerWord:
      return "owner-word";
    case Ground::kNobodyLeft:
      return "nobody-left";
    case Ground::kNobodyHolds:
      return "nobody-holds";
    case Ground::kRoleGone:
      return "role-gone";
    case Ground::kRounds:
      return "rounds";
    case Ground::kUnserved:
      return "unserved";
    case Ground::kInstant:
      return "instant";
  }
  return "";
}

std::string where_word(Where where) {
  switch (where) {
    case Where::kUnknown:
      return "unknown";
    case Where::kHere:
      return "here";
    case Where::kAncestor:
      return "ancestor";
    case Where::kGone:
      return "gone";
    case Where::kItself:
      return "itself";
  }
  return "unknown";
}

std::string family_word(LockFamily family) {
  switch (family) {
    case LockFamily::kUnknown:
      return "unknown";
    case LockFamily::kMutex:
      return "mutex";
    case LockFamily::kRwlock:
      return "rwlock";
    case LockFamily::kCondition:
      return "condition";
    case LockFamily::kSemaphore:
      return "semaphore";
    case LockFamily::kOnce:
      return "once";
    case LockFamily::kBarrier:
      return "barrier";
    case LockFamily::kJoin:
      return "join";
    case LockFamily::kLibcLock:
      return "libc-lock";
    case LockFamily::kStaticGuard:
      return "static-guard";
    case LockFamily::kRustMutex:
      return "rust-mutex";
    case LockFamily::kRustRwlock:
      return "rust-rwlock";
    case LockFamily::kRustCondvar:
      return "rust-condvar";
    case LockFamily::kRustOnce:
      return "rust-once";
    case LockFamily::kRustParker:
      return "rust-parker";
    case LockFamily::kParkingLot:
      return "parking-lot";
    case LockFamily::kAbseil:
      return "abseil";
    case LockFamily::kGompBarrier:
      return "gomp-barrier";
    case LockFamily::kGompLock:
      return "gomp-lock";
    case LockFamily::kPyMutex:
      return "python-mutex";
    case LockFamily::kAtomicWait:
      return "atomic-wait";
  }
  return "unknown";
}

std::string confidence_word(Confidence confidence) {
  switch (confidence) {
    case Confidence::kNone:
      return "none";
    case Confidence::kPossible:
      return "possible";
    case Confidence::kLikely:
      return "likely";
    case Confidence::kCertain:
      return "certain";
  }
  return "none";
}

}  // namespace forkscope
