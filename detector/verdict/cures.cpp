#include "detector/verdict/cures.hpp"

#include <string_view>
#include <utility>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Kind;

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

/// Where what can be done does not depend on the lock.
std::string managed_cure(Runtime runtime) {
  switch (runtime) {
    case Runtime::kRuby:
      return "Start other programs with Process.spawn, which does not run Ruby code in the child. "
             "Where fork is needed, fork before threads are started, and start them anew in the "
             "child (Puma: stop them in before_fork, start them in on_worker_boot; other servers "
             "have the same two hooks).";
    case Runtime::kJvm:
      return "The Java virtual machine cannot go on in a forked child: the threads of its "
             "collector, its compilers and its safepoints are not copied, and it starts no "
             "others. Start programs with ProcessBuilder; native code that forks must let the "
             "child execute a program at once (posix_spawn()), and call nothing of Java or of "
             "other libraries before.";
    case Runtime::kDotnet:
      return "The .NET runtime cannot go on in a forked child: the threads of its collector and "
             "its pool are not copied. Start programs with System.Diagnostics.Process; native "
             "code that forks must let the child execute a program at once (posix_spawn()).";
    case Runtime::kPhp:
      return "Start other programs with proc_open(). Where pcntl_fork() is needed, fork before "
             "the extension whose threads or locks these are is first used, and use it first in "
             "the child: in PHP-FPM that is in a request, not in a preload script.";
    case Runtime::kPerl:
      return "Start other programs with system() or open(), which execute at once. Where fork() "
             "is needed, fork before the module whose threads or locks these are is first used, "
             "and use it in the child only.";
    case Runtime::kR:
      return "Use workers that are fresh processes: parallel::makeCluster(n) (PSOCK) or "
             "future::plan(multisession), in place of mclapply() and makeForkCluster(). If only "
             "fork will do, let the library whose threads these are use one thread before it "
             "(RhpcBLASctl::blas_set_num_threads(1), data.table::setDTthreads(1), "
             "OMP_NUM_THREADS=1).";
    case Runtime::kD:
      return "Start programs with std.process.spawnProcess(), which executes at once. Where fork() "
             "is needed, fork before the first thread or task pool is started: the collector "
             "stops all threads it knows, and waits in the child for those that were not copied; "
             "let such a child execute a program, or allocate nothing that is collected "
             "(GC.disable()).";
    case Runtime::kOcaml:
      return "Start programs with Unix.create_process, which executes at once. Where Unix.fork is "
             "needed, fork before the first Thread.create or Domain.spawn (OCaml 5 refuses to fork "
             "after the latter), and start threads in the child.";
    default:
      return "";
  }
}

std::string node_cure() {
  return "Start processes with child_process.spawn() or child_process.fork(), which start a fresh "
         "interpreter, or use worker_threads. A native add-on must not call fork() inside node: "
         "let it use posix_spawn().";
}

std::string openmp_cure() {
  return "Fork before the first parallel region, and start OpenMP's first one in the child: the "
         "runtime's worker threads are not copied, and it does not notice. Where the parent has "
         "had one, let it call omp_pause_resource_all(omp_pause_hard) before each fork (OpenMP 5), "
         "or run its regions with one thread (OMP_NUM_THREADS=1). Or start the process with "
         "posix_spawn().";
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

/// Programs whose calls of libc are their own.
bool is_native(Runtime runtime) {
  return runtime == Runtime::kNative || runtime == Runtime::kOpenMp || runtime == Runtime::kRust ||
         runtime == Runtime::kD;
}

}  // namespace

CureFacts cure_facts_of(const Finding& finding, const std::string& executable, Kind kind) {
  CureFacts facts;
  facts.runtime = runtime_of(executable, finding);
  facts.owner = owner_of(executable, finding);
  facts.kind = kind;
  facts.lock = finding.lock;
  return facts;
}

std::string library_offer(const std::string& path) {
  // Each from the library's own documentation.
  constexpr std::pair<std::string_view, std::string_view> kOffers[] = {
      {"libtbb.so", "oneTBB ends its threads before a fork if it is told to: keep a "
                    "tbb::task_scheduler_handle and give it to tbb::finalize()."},
      {"libgrpc", "gRPC can be asked to stop its threads around forks: set "
                  "GRPC_ENABLE_FORK_SUPPORT=1 before it is loaded."},
      {"cygrpc", "gRPC can be asked to stop its threads around forks: set "
                 "GRPC_ENABLE_FORK_SUPPORT=1 before it is imported."},
      {"librdkafka", "A client of librdkafka does not live on in a forked child: make one there."},
      {"libleveldb", "A LevelDB database is open in one process only: open it in that one."},
      {"librocksdb", "A RocksDB database is not to be open across a fork: open it in the child."},
      {"libzmq", "A context of ZeroMQ is not inherited: let the child make one."},
  };
  const std::string name = base_name(path);
  for (const auto& [prefix, offer] : kOffers)
    if (name.starts_with(prefix)) return " " + std::string(offer);
  return "";
}

std::string cure_for(const CureFacts& facts) {
  if (!facts.libc_cure.empty() && is_native(facts.runtime)) return facts.libc_cure;
  if (facts.libc_cure.empty() && is_native_matter(facts.kind)) return native_cure(facts);
  const bool file = facts.kind == Kind::kSharedDescriptor;
  switch (facts.runtime) {
    case Runtime::kPython:
      if (file) return python_file_cure(facts);
      return python_cure(facts.kind) + library_offer(facts.owner.module);
    case Runtime::kNode:
      return node_cure();
    case Runtime::kGo:
      return go_cure();
    case Runtime::kOpenMp:
      // What the forking thread itself holds has nothing to do with OpenMP's workers.
      if (is_about_threads(facts) && facts.lock_type != record::LockType::kThread)
        return openmp_cure();
      break;
    case Runtime::kRust:
      if (facts.kind == Kind::kMissingMemory || file) break;
      return rust_cure(facts);
    case Runtime::kRuby:
    case Runtime::kJvm:
    case Runtime::kDotnet:
    case Runtime::kPhp:
    case Runtime::kPerl:
    case Runtime::kR:
    case Runtime::kD:
    case Runtime::kOcaml:
      if (file) break;
      return managed_cure(facts.runtime);
    case Runtime::kNative:
      break;
  }
  return native_cure(facts);
}

}  // namespace forkscope
