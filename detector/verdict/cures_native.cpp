// Cures for C and C++: what to write for which kind of lock.
#include <fmt/format.h>

#include "detector/verdict/cures.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Evidence;
using record::Kind;
using record::LockType;

std::string lock_name(const CureFacts& facts) {
  if (!facts.lock.symbol.empty()) return facts.lock.symbol;
  switch (facts.lock_type) {
    case LockType::kSemaphore:
      return "this semaphore";
    case LockType::kBarrier:
      return "this barrier";
    case LockType::kCondition:
      return "this condition variable";
    default:
      return "this lock";
  }
}

constexpr const char* kNoFork =
    "Start the process with posix_spawn(), which copies neither threads nor locks, or fork before "
    "threads are started.";

// ---- orphaned locks -----------------------------------------------------------------------------

std::string atfork_cure(const CureFacts& facts) {
  const std::string name = lock_name(facts);
  switch (facts.lock_type) {
    case LockType::kRwlock:
      return fmt::format(
          "register pthread_atfork(prepare, parent, child): prepare locks {0} for writing, which "
          "waits for readers too; parent unlocks it; child sets it up anew with "
          "pthread_rwlock_init(), because its unlock compares thread ids.",
          name);
    case LockType::kSpinlock:
      return fmt::format(
          "register pthread_atfork(prepare, parent, child): prepare takes {0}, parent and child "
          "unlock it. Better a mutex: who waits for a spin lock in vain uses all of a processor.",
          name);
    case LockType::kSemaphore:
      return fmt::format(
          "register pthread_atfork(prepare, parent, child): prepare waits for {0}, parent and "
          "child "
          "post it. Where the semaphore counts jobs and is no lock, let the child make one of its "
          "own.",
          name);
    case LockType::kCustom:
      return fmt::format(
          "register pthread_atfork(prepare, parent, child): prepare takes {0}, parent and child "
          "give it back; or let the child handler set it up anew, and say so with "
          "FORKSCOPE_LOCK_FORGET.",
          name);
    default:
      break;
  }
  if (facts.compares_owner) {
    return fmt::format(
        "register pthread_atfork(prepare, parent, child): prepare locks {0}, parent unlocks it, "
        "child sets it up anew with pthread_mutex_init(), because {1} cannot be unlocked by the "
        "child.",
        name, with_article(facts.lock.type));
  }
  return fmt::format(
      "register pthread_atfork(prepare, parent, child): prepare locks {0}, parent and child unlock "
      "it. Then no other thread can hold it at a fork.",
      name);
}

/// Whoever uses the library cannot take its lock in handlers of their own.
std::string library_orphan_cure(const CureFacts& facts) {
  const std::string library = base_name(facts.owner.module);
  return fmt::format(
      "{} The lock belongs to {}. If it must be fork(), fork before {} is first used, and use it "
      "in the child only.{} Where {} is yours to change: {}",
      kNoFork, library, library, library_offer(facts.owner.module), library, atfork_cure(facts));
}

std::string orphan_cure(const CureFacts& facts) {
  switch (facts.lock_type) {
    case LockType::kStaticGuard:
      return "Let the static variable be initialised before the first fork: call the function that "
             "has it once at the start of main(), or make it constinit or a namespace-scope "
             "variable. Or start the process with posix_spawn().";
    case LockType::kOnce:
      if (facts.owner.owner == Owner::kLibrary)
        return fmt::format("{} Otherwise call what {} initialises here once before the first fork.",
                           kNoFork, base_name(facts.owner.module));
      return std::string(kNoFork) +
             " Otherwise run the function of this once flag before the first fork. fork() lets the "
             "child begin a pthread_once() anew; _Fork() and clone() do not.";
    case LockType::kFile:
      return std::string(kNoFork) +
             " Do not keep a stream locked by flockfile() where another thread may fork. fork() "
             "sets the locks of streams free in the child; _Fork() and clone() do not.";
    default:
      break;
  }
  switch (facts.owner.owner) {
    case Owner::kProgram:
      return fmt::format("{} If it must be fork(), {}", kNoFork, atfork_cure(facts));
    case Owner::kLibrary:
      return library_orphan_cure(facts);
    case Owner::kRuntime:
      return fmt::format(
          "{} No handler of pthread_atfork() can take this lock: it is private to the standard "
          "library. If it must be fork(), let the child call async-signal-safe functions only, up "
          "to exec or _exit().",
          kNoFork);
  }
  return kNoFork;
}

// ---- lost threads -------------------------------------------------------------------------------

std::string lost_thread_cure(const CureFacts& facts) {
  if (facts.evidence == Evidence::kInheritedWaiters) {
    const bool barrier = facts.lock_type == LockType::kBarrier;
    return fmt::format(
        "In the child neither signal, broadcast nor destroy the inherited {}: leave it as it is, "
        "and initialise a new object in its place (another variable, or a new allocation). A child "
        "handler of pthread_atfork() is the place for it. Or start the process with posix_spawn().",
        barrier ? "barrier" : "condition variable");
  }
  if (facts.lock_type == LockType::kThread) {
    return "Do not join in the child what was started in the parent: no thread but the forking one "
           "is there. Forget the handles in a child handler of pthread_atfork() (a std::thread "
           "has to be leaked, its destructor calls std::terminate()), and start threads of the "
           "child's own. Or start the process with posix_spawn().";
  }
  if (facts.lock_type == LockType::kBarrier) {
    return "Start the process with posix_spawn(), or fork while no thread is on its way to the "
           "barrier, and let the child make a new barrier for the threads it starts itself: those "
           "that the inherited one counts on are not there.";
  }
  if (facts.owner.owner == Owner::kLibrary) {
    const std::string library = base_name(facts.owner.module);
    return fmt::format(
        "Start the process with posix_spawn(), or fork before {} starts its threads, and use it "
        "in the child only: what the parent had of it (clients, pools, handles) has no threads "
        "there. Let the child make its own, and never wait for the inherited ones.{}",
        library, library_offer(facts.owner.module));
  }
  return "Start the process with posix_spawn(), or fork before the pool's threads are started. "
         "If it must be fork(), let the child make a pool of its own and never wait for the "
         "inherited one: a child handler of pthread_atfork() is the place to forget it.";
}

// ---- the forking thread's own locks -------------------------------------------------------------

std::string self_held_cure(const CureFacts& facts) {
  const std::string name = lock_name(facts);
  const char* init = facts.lock_type == LockType::kRwlock     ? "pthread_rwlock_init()"
                     : facts.lock_type == LockType::kSpinlock ? "pthread_spin_init()"
                                                              : "pthread_mutex_init()";
  if (facts.lock_type == LockType::kStaticGuard || facts.lock_type == LockType::kOnce) {
    return "Do not fork inside the initialisation: let it finish, then fork. Or start the process "
           "with posix_spawn().";
  }
  if (facts.owner.owner == Owner::kLibrary)
    return fmt::format(
        "Do not fork from a function that {} calls (a callback, an iteration) while it has its "
        "lock: return first, then fork. Or start the process with posix_spawn().",
        base_name(facts.owner.module));
  return fmt::format(
      "Unlock {0} before fork(), or move the fork out of the critical section. Where that cannot "
      "be, let a child handler of pthread_atfork() set {0} up anew with {1}. Or start the process "
      "with posix_spawn().",
      name, init);
}

// ---- the rest -----------------------------------------------------------------------------------

std::string descriptor_cure(const CureFacts& facts) {
  if (facts.lock_type == LockType::kRecordLock) {
    return "Take the lock again in the child, after the parent has unlocked it, or take it only "
           "after the fork. A lock that is to be handed on needs flock() or F_OFD_SETLK, whose "
           "locks belong to the open file.";
  }
  return "Open the file anew in the child (open(), not dup()) and lock that: it is another open "
         "file with locks of its own. Where the child does not need the lock, let it only close "
         "the descriptor, which leaves the parent's lock alone, and never unlock it. O_CLOEXEC "
         "keeps it from programs that are started.";
}

std::string memory_cure(const CureFacts& facts) {
  const std::string advice = facts.advice.empty() ? "that advice" : facts.advice;
  const char* undo = facts.advice == "MADV_WIPEONFORK" ? "MADV_KEEPONFORK" : "MADV_DOFORK";
  return fmt::format(
      "Keep the child away from this memory, or start the process with posix_spawn(). If the "
      "memory is yours, take {0} back with madvise({1}) before the fork, or set it up anew in a "
      "child handler of pthread_atfork(). Device memory (GPU, RDMA) is marked so on purpose: its "
      "library cannot be used in a forked child at all.",
      advice, undo);
}

constexpr const char* kLoaderCure =
    "Load what the child needs before threads are started, or start the process with "
    "posix_spawn(). Where other threads load objects at any time, hold one lock of your own around "
    "dlopen(), dlclose() and fork().";

constexpr const char* kVforkCure =
    "Start the program with posix_spawn(), whose file actions and attributes do what is usually "
    "done between vfork() and exec (descriptors, signal mask, process group, working directory). "
    "Prepare everything else before the vfork(), and leave only exec and _exit() for the child.";

constexpr const char* kHandlerCure =
    "Give the locks one order that all threads keep to, the prepare handlers among them: handlers "
    "that are registered last take theirs first, so the library whose locks are taken first "
    "elsewhere registers last. A handler takes each lock once, waits for no other thread, and "
    "takes nothing that is held across calls into other libraries. Or start the process with "
    "posix_spawn(), which runs no handlers.";

constexpr const char* kBypassCure =
    "Use fork(), which runs the handlers and repairs malloc and stdio, or posix_spawn() for "
    "another program. Where it must be _Fork() or clone(), let the child call async-signal-safe "
    "functions only, up to exec or _exit().";

}  // namespace

std::string native_cure(const CureFacts& facts) {
  switch (facts.kind) {
    case Kind::kOrphanedLock:
      return orphan_cure(facts);
    case Kind::kLostThread:
      return lost_thread_cure(facts);
    case Kind::kSelfHeldLock:
    case Kind::kStaleOwner:
      return self_held_cure(facts);
    case Kind::kLibcLock:
      return kLoaderCure;
    case Kind::kForkBypass:
      return kBypassCure;
    case Kind::kSharedDescriptor:
      return descriptor_cure(facts);
    case Kind::kMissingMemory:
      return memory_cure(facts);
    case Kind::kUnsafeCall:
      return kVforkCure;
    case Kind::kAtforkHandler:
      return kHandlerCure;
  }
  return "";
}

}  // namespace forkscope
