#include "detector/verdict/cures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Kind;

/// "python", "python3", "python3.11", also "pypy3": the name and then only digits and dots.
bool is_interpreter(std::string_view name, std::string_view interpreter) {
  if (!name.starts_with(interpreter)) return false;
  name.remove_prefix(interpreter.size());
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isdigit(c) || c == '.'; });
}

bool has_library(const std::vector<ModuleRecord>& modules, std::string_view prefix) {
  return std::any_of(modules.begin(), modules.end(), [&](const ModuleRecord& module) {
    return base_name(module.path).starts_with(prefix);
  });
}

std::string python_cure(Kind kind) {
  std::string cure =
      "Start worker processes without fork: multiprocessing.get_context(\"spawn\") or "
      "get_context(\"forkserver\"), given to ProcessPoolExecutor as mp_context, or "
      "multiprocessing.set_start_method(\"spawn\") once at the start. For other programs use "
      "subprocess or os.posix_spawn() in place of os.fork().";
  switch (kind) {
    case Kind::kLostThread:
      return cure +
             " If only fork will do, fork before the parent first uses the library whose "
             "threads these are.";
    case Kind::kOrphanedLock:
      return cure + " If only fork will do, fork before the first thread is started.";
    case Kind::kSelfHeldLock:
    case Kind::kStaleOwner:
      return cure +
             " If only fork will do, do not fork from a callback that runs while the "
             "library holds its lock.";
    case Kind::kLibcLock:
      return cure +
             " If only fork will do, import what the child needs before threads are started.";
    case Kind::kMissingMemory:
      return cure +
             " If only fork will do, do not use the library that owns this memory in the child.";
    case Kind::kForkBypass:
    case Kind::kSharedDescriptor:
    case Kind::kUnsafeCall:
    case Kind::kAtforkHandler:
      break;
  }
  return cure;
}

std::string python_file_cure(const CureFacts& facts) {
  if (facts.lock_type == record::LockType::kRecordLock) {
    return "Take the lock again in the child (fcntl.lockf()): record locks are not inherited. Take "
           "it only after the fork, or let one process keep the file.";
  }
  return "Open the file anew in the child, with open() in the worker's own function, and lock that "
         "one: an inherited file object shares its lock with the parent. Do not call "
         "fcntl.flock(f, LOCK_UN) on the inherited one.";
}

std::string ruby_cure() {
  return "Start other programs with Process.spawn, which does not run Ruby code in the child. "
         "Where fork is needed, fork before threads are started, and start them anew in the child "
         "(Puma: stop them in before_fork, start them in on_worker_boot; other servers have the "
         "same two hooks).";
}

std::string node_cure() {
  return "Start processes with child_process.spawn() or child_process.fork(), which start a fresh "
         "interpreter, or use worker_threads. A native add-on must not call fork() inside node: "
         "let it use posix_spawn().";
}

std::string openmp_cure() {
  return "Fork before the first parallel region, and start OpenMP's first one in the child: the "
         "runtime's worker threads are not copied, and it does not notice. Otherwise start the "
         "process with posix_spawn(), or let the parent run its regions with one thread "
         "(OMP_NUM_THREADS=1) before it forks.";
}

std::string go_cure() {
  return "Go's runtime cannot go on in a forked child: the threads that run goroutines are not "
         "copied, and it starts no others. Let the child execute a program at once "
         "(posix_spawn(), os/exec), or load the Go library in the child only, after the fork.";
}

/// Whether threads that are not in the child are what this is about.
bool is_about_threads(const CureFacts& facts) {
  return facts.kind == Kind::kOrphanedLock || facts.kind == Kind::kLostThread;
}

/// What is done by system calls and by native code only, whatever the program is written in.
bool is_native_matter(Kind kind) {
  return kind == Kind::kForkBypass || kind == Kind::kUnsafeCall || kind == Kind::kAtforkHandler;
}

}  // namespace

Runtime runtime_of(const std::string& executable, const std::vector<ModuleRecord>& modules) {
  const std::string name = base_name(executable);
  if (is_interpreter(name, "python") || is_interpreter(name, "pypy") ||
      has_library(modules, "libpython") || has_library(modules, "libpypy")) {
    return Runtime::kPython;
  }
  if (is_interpreter(name, "ruby") || has_library(modules, "libruby")) return Runtime::kRuby;
  if (is_interpreter(name, "node") || is_interpreter(name, "nodejs") ||
      has_library(modules, "libnode.so")) {
    return Runtime::kNode;
  }
  const bool open_mp = std::any_of(modules.begin(), modules.end(), [](const ModuleRecord& module) {
    return is_library(module.path, "libgomp") || is_library(module.path, "libomp") ||
           is_library(module.path, "libiomp5");
  });
  return open_mp ? Runtime::kOpenMp : Runtime::kNative;
}

std::string cure_for(const CureFacts& facts) {
  if (!facts.libc_cure.empty() &&
      (facts.runtime == Runtime::kNative || facts.runtime == Runtime::kOpenMp)) {
    return facts.libc_cure;
  }
  if (facts.libc_cure.empty() && is_native_matter(facts.kind)) return native_cure(facts);
  switch (facts.runtime) {
    case Runtime::kPython:
      return facts.kind == Kind::kSharedDescriptor ? python_file_cure(facts)
                                                   : python_cure(facts.kind);
    case Runtime::kRuby:
      if (facts.kind == Kind::kSharedDescriptor) break;
      return ruby_cure();
    case Runtime::kNode:
      return node_cure();
    case Runtime::kOpenMp:
      // What the forking thread itself holds has nothing to do with OpenMP's workers.
      if (is_about_threads(facts) && facts.lock_type != record::LockType::kThread) {
        return openmp_cure();
      }
      break;
    case Runtime::kGo:
      return go_cure();
    case Runtime::kNative:
      break;
  }
  return native_cure(facts);
}

}  // namespace forkscope
