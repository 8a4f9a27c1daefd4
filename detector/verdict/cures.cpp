#include "detector/verdict/cures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

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
  }
  return cure;
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

bool is_library(const LockInfo& lock, const std::string& executable) {
  return !lock.module.empty() && lock.module != executable &&
         base_name(lock.module).find(".so") != std::string::npos;
}

std::string lock_name(const LockInfo& lock) {
  return lock.symbol.empty() ? "this lock" : lock.symbol;
}

std::string native_orphan_cure(const LockInfo& lock, const std::string& executable) {
  const std::string name = lock_name(lock);
  std::string cure =
      "Start the process with posix_spawn(), which copies neither threads nor locks, or fork "
      "before threads are started. If it must be fork(), register ";
  cure += fmt::format(
      "pthread_atfork(prepare, parent, child): prepare locks {0}, parent and child unlock it. Then "
      "no other thread can hold it at a fork.",
      name);
  if (is_library(lock, executable)) {
    cure += fmt::format(" The lock belongs to {}: that is where the handlers have to be.",
                        base_name(lock.module));
  }
  return cure;
}

std::string native_self_held_cure(const LockInfo& lock) {
  const std::string name = lock_name(lock);
  return fmt::format(
      "Unlock {0} before fork(), or move the fork out of the critical section. Where that cannot "
      "be, let a child handler of pthread_atfork() set {0} up anew with pthread_mutex_init(). Or "
      "start the process with posix_spawn().",
      name);
}

std::string native_cure(Kind kind, const LockInfo& lock, const std::string& executable) {
  switch (kind) {
    case Kind::kOrphanedLock:
      return native_orphan_cure(lock, executable);
    case Kind::kLostThread:
      return "Start the process with posix_spawn(), or fork before the pool's threads are started. "
             "If it must be fork(), let the child make a pool of its own and never wait for the "
             "inherited one: a child handler of pthread_atfork() is the place to forget it.";
    case Kind::kSelfHeldLock:
    case Kind::kStaleOwner:
      return native_self_held_cure(lock);
  }
  return "";
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
  for (std::string_view library : {"libgomp.so", "libomp.so", "libiomp5.so"}) {
    if (has_library(modules, library)) return Runtime::kOpenMp;
  }
  return Runtime::kNative;
}

std::string cure_for(Runtime runtime, Kind kind, const LockInfo& lock,
                     const std::string& executable) {
  switch (runtime) {
    case Runtime::kPython:
      return python_cure(kind);
    case Runtime::kRuby:
      return ruby_cure();
    case Runtime::kNode:
      return node_cure();
    case Runtime::kOpenMp:
      // What the forking thread itself holds has nothing to do with OpenMP's workers.
      if (kind == Kind::kOrphanedLock || kind == Kind::kLostThread) return openmp_cure();
      break;
    case Runtime::kNative:
      break;
  }
  return native_cure(kind, lock, executable);
}

}  // namespace forkscope
