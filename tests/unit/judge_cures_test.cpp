// The cure speaks the program's own language.
#include <catch2/catch.hpp>

#include "detector/verdict/cures.hpp"

using namespace forkscope;
using Catch::Contains;
using record::Kind;

namespace {

const std::string kProgram = "/bin/reader";

LockInfo lock(const std::string& symbol, const std::string& path) {
  LockInfo info;
  info.symbol = symbol;
  info.module = path;
  return info;
}

/// "function@module" of each frame, innermost first.
std::vector<Frame> frames(std::initializer_list<std::pair<const char*, std::string>> all) {
  std::vector<Frame> stack;
  for (const auto& [function, module] : all) {
    Frame frame;
    frame.function = function;
    frame.module = module;
    stack.push_back(frame);
  }
  return stack;
}

Finding waiting_in(std::initializer_list<std::pair<const char*, std::string>> stack,
                   const LockInfo& of = {}) {
  Finding finding;
  finding.waiter.stack = frames(stack);
  finding.lock = of;
  return finding;
}

Runtime runtime_in(const std::string& executable,
                   std::initializer_list<std::pair<const char*, std::string>> stack = {}) {
  return runtime_of(executable, waiting_in(stack));
}

std::string cure(Runtime runtime, Kind kind, const LockInfo& of = {}) {
  CureFacts facts;
  facts.runtime = runtime;
  facts.kind = kind;
  facts.lock = of;
  return cure_for(facts);
}

/// Of a finding of kind kOrphanedLock or kLostThread, with all that it tells.
std::string cure_of(const Finding& finding, Kind kind,
                    record::LockType type = record::LockType::kMutexNormal,
                    const std::string& executable = kProgram) {
  CureFacts facts = cure_facts_of(finding, executable, kind);
  facts.lock_type = type;
  return cure_for(facts);
}

}  // namespace

TEST_CASE("the runtime is known by executable, or by what is on a stack", "[judge][cures]") {
  CHECK(runtime_in("/usr/bin/python3.11") == Runtime::kPython);
  CHECK(runtime_in("/usr/bin/python3") == Runtime::kPython);
  CHECK(runtime_in("/usr/sbin/uwsgi", {{"PyEval_EvalCode", "/usr/lib/libpython3.11.so.1.0"}}) ==
        Runtime::kPython);
  CHECK(runtime_in("/usr/bin/ruby3.1") == Runtime::kRuby);
  CHECK(runtime_in("/usr/sbin/app", {{"rb_funcall", "/usr/lib/libruby-3.1.so.3.1"}}) ==
        Runtime::kRuby);
  CHECK(runtime_in("/usr/bin/node") == Runtime::kNode);
  CHECK(runtime_in("/usr/bin/php8.2") == Runtime::kPhp);
  CHECK(runtime_in("/usr/sbin/php-fpm8.2") == Runtime::kPhp);
  CHECK(runtime_in("/usr/sbin/apache2", {{"zend_execute", "/usr/lib/apache2/modules/libphp8.2.so"}}) ==
        Runtime::kPhp);
  CHECK(runtime_in("/usr/lib/jvm/java-17-openjdk-amd64/bin/java") == Runtime::kJvm);
  CHECK(runtime_in("/usr/bin/loader", {{"JVM_MonitorWait", "/usr/lib/jvm/lib/server/libjvm.so"}}) ==
        Runtime::kJvm);
  CHECK(runtime_in("/usr/lib/R/bin/exec/R") == Runtime::kR);
  CHECK(runtime_in("/usr/bin/sim", {{"GOMP_parallel", "/usr/lib/libgomp.so.1"}}) ==
        Runtime::kOpenMp);
  CHECK(runtime_in("/usr/bin/python3", {{"GOMP_parallel", "/usr/lib/libgomp.so.1"}}) ==
        Runtime::kPython);
}

TEST_CASE("compiled languages are known by the functions of the program", "[judge][cures]") {
  CHECK(runtime_in(kProgram, {{"std::sys::sync::mutex::futex::Mutex::lock_contended", kProgram},
                              {"reader::main", kProgram}}) == Runtime::kRust);
  CHECK(runtime_in(kProgram, {{"<reader::Pool as core::ops::drop::Drop>::drop", kProgram}}) ==
        Runtime::kRust);
  CHECK(runtime_in(kProgram, {{"runtime.futex", kProgram}, {"runtime.notesleep", kProgram}}) ==
        Runtime::kGo);
  CHECK(runtime_in(kProgram, {{"caml_start_program", kProgram}}) == Runtime::kOcaml);
  CHECK(runtime_in(kProgram, {{"_D3app4mainFZv", kProgram}}) == Runtime::kD);
  CHECK(runtime_in(kProgram, {{"thread_suspendAll", "/usr/lib/libgphobos.so.3"}}) == Runtime::kD);
  // A library in Rust does not make its user's program one.
  CHECK(runtime_in(kProgram, {{"std::sys::sync::mutex::futex::Mutex::lock_contended",
                               "/usr/lib/librsvg-2.so.2"},
                              {"main", kProgram}}) == Runtime::kNative);
  CHECK(runtime_in(kProgram, {{"core::Session::start()", kProgram},
                              {"std::function<void ()>::operator()() const", kProgram},
                              {"Job::run()::{lambda()#1}::operator()() const", kProgram}}) ==
        Runtime::kNative);
  CHECK(runtime_in(kProgram, {{"runtime.futex", kProgram}}) == Runtime::kNative);
  CHECK(runtime_in(kProgram, {{"camlot()", kProgram}, {"_Do_it", kProgram}}) == Runtime::kNative);
}

TEST_CASE("a name that only begins like an interpreter's is none", "[judge][cures]") {
  CHECK(runtime_in("/usr/bin/python3-config") == Runtime::kNative);
  CHECK(runtime_in("/usr/bin/nodemanager") == Runtime::kNative);
  CHECK(runtime_in("/usr/bin/ruby-build") == Runtime::kNative);
  CHECK(runtime_in("/usr/bin/javac") == Runtime::kNative);
  CHECK(runtime_in("/usr/bin/Rover") == Runtime::kNative);
  CHECK(runtime_in("/home/python3/bin/server") == Runtime::kNative);
  CHECK(runtime_in("") == Runtime::kNative);
}

TEST_CASE("Python is told of spawn and forkserver", "[judge][cures]") {
  for (Kind kind : {Kind::kOrphanedLock, Kind::kLostThread}) {
    CHECK_THAT(cure(Runtime::kPython, kind),
               Contains("multiprocessing.get_context(\"spawn\")") &&
                   Contains("get_context(\"forkserver\")") && Contains("os.posix_spawn()"));
  }
}

TEST_CASE("Ruby, Node and OpenMP are told their own ways", "[judge][cures]") {
  CHECK_THAT(cure(Runtime::kRuby, Kind::kLostThread),
             Contains("Process.spawn") && Contains("before_fork"));
  CHECK_THAT(cure(Runtime::kNode, Kind::kOrphanedLock), Contains("child_process.spawn()"));
  CHECK_THAT(cure(Runtime::kOpenMp, Kind::kLostThread), Contains("parallel region"));
}

TEST_CASE("C++ is told what to write for which lock", "[judge][cures]") {
  const std::string text = cure_of(
      waiting_in({{"main", kProgram}}, lock("orders.file_lock", kProgram)), Kind::kOrphanedLock);
  CHECK_THAT(text, Contains("posix_spawn()") &&
                       Contains("pthread_atfork(prepare, parent, child)") &&
                       Contains("prepare locks orders.file_lock"));
  CHECK_THAT(text, !Contains("belongs to"));
}

TEST_CASE("a library's lock is the library's to protect", "[judge][cures]") {
  const Finding finding =
      waiting_in({{"main", kProgram}}, lock("cache_lock", "/usr/lib/libtable.so.4"));
  CHECK_THAT(cure_of(finding, Kind::kOrphanedLock),
             Contains("belongs to libtable.so.4") && Contains("use it in the child only") &&
                 Contains("libtable.so.4 is yours to change"));
  // On the heap: who waits for it tells whose it is.
  const Finding heap = waiting_in({{"pthread_mutex_lock", "/usr/lib/libc.so.6"},
                                   {"table_lookup", "/usr/lib/libtable.so.4"},
                                   {"main", kProgram}});
  CHECK_THAT(cure_of(heap, Kind::kOrphanedLock), Contains("belongs to libtable.so.4"));
  CHECK_THAT(cure_of(heap, Kind::kLostThread, record::LockType::kCondition),
             Contains("fork before libtable.so.4 starts its threads"));
  CHECK_THAT(cure_of(heap, Kind::kSelfHeldLock), Contains("a function that libtable.so.4 calls"));
  // A library that is there to wait with owns nothing of it.
  const Finding glib = waiting_in({{"g_mutex_lock", "/usr/lib/libglib-2.0.so.0"}, {"main", kProgram}});
  CHECK_THAT(cure_of(glib, Kind::kOrphanedLock), !Contains("libglib"));
}

TEST_CASE("what a library offers for forks is told", "[judge][cures]") {
  const Finding tbb = waiting_in({{"wait", "/usr/lib/libtbb.so.12"}, {"main", kProgram}});
  CHECK_THAT(cure_of(tbb, Kind::kLostThread), Contains("tbb::finalize()"));
  const Finding other = waiting_in({{"wait", "/usr/lib/libpool.so.12"}, {"main", kProgram}});
  CHECK_THAT(cure_of(other, Kind::kLostThread), !Contains("tbb::"));
}

TEST_CASE("no handlers are asked of anybody for locks of a standard library", "[judge][cures]") {
  for (const LockInfo& of :
       {lock("(anonymous namespace)::locale_mutex", "/usr/lib/libstdc++.so.6"),
        lock("std::chrono::tzdb_list::_Node::_S_list_mutex", kProgram)}) {
    CHECK_THAT(cure_of(waiting_in({{"main", kProgram}}, of), Kind::kOrphanedLock),
               Contains("private to the standard library") && Contains("posix_spawn()") &&
                   !Contains("register pthread_atfork"));
  }
  CHECK_THAT(cure_of(waiting_in({{"main", kProgram}}, lock("stdio_state.lock", kProgram)),
                     Kind::kOrphanedLock),
             Contains("register pthread_atfork"));
}

TEST_CASE("Rust is told what Rust has", "[judge][cures]") {
  const auto in_rust = [](const LockInfo& of) {
    return waiting_in({{"std::sys::sync::once::futex::Once::call", kProgram},
                       {"reader::main", kProgram}}, of);
  };
  const std::string once = cure_of(in_rust(lock("reader::TABLE", kProgram)), Kind::kOrphanedLock,
                                   record::LockType::kOnce);
  CHECK_THAT(once, Contains("OnceLock::get_or_init()") && !Contains("pthread_once"));
  const std::string mutex = cure_of(in_rust(lock("reader::TABLE", kProgram)), Kind::kOrphanedLock,
                                    record::LockType::kFutex);
  CHECK_THAT(mutex, Contains("drop the guard") && !Contains("pthread_atfork"));
  CHECK_THAT(cure_of(in_rust(lock("std::io::stdio::STDOUT", kProgram)), Kind::kOrphanedLock,
                     record::LockType::kFutex),
             Contains("the standard library's own") && !Contains("drop the guard"));
  CHECK_THAT(cure_of(in_rust({}), Kind::kLostThread, record::LockType::kFutex),
             Contains("ThreadPoolBuilder") && !Contains("pthread_atfork"));
}

TEST_CASE("who cannot go on in a forked child is told to execute at once", "[judge][cures]") {
  for (Kind kind : {Kind::kOrphanedLock, Kind::kLostThread}) {
    CHECK_THAT(cure(Runtime::kJvm, kind), Contains("execute a program at once") &&
                                              Contains("ProcessBuilder") && !Contains("pool of its own"));
    CHECK_THAT(cure(Runtime::kDotnet, kind), Contains("System.Diagnostics.Process"));
    CHECK_THAT(cure(Runtime::kGo, kind), Contains("execute a program at once"));
  }
  CHECK_THAT(cure(Runtime::kPhp, Kind::kLostThread), Contains("pcntl_fork()"));
  CHECK_THAT(cure(Runtime::kOcaml, Kind::kLostThread), Contains("Unix.create_process"));
  CHECK_THAT(cure(Runtime::kD, Kind::kOrphanedLock), Contains("spawnProcess()"));
  CHECK_THAT(cure(Runtime::kR, Kind::kLostThread), Contains("makeCluster"));
}

TEST_CASE("a lost thread and a self-held lock have other cures than an orphaned one",
          "[judge][cures]") {
  CHECK_THAT(cure(Runtime::kNative, Kind::kLostThread), Contains("pool of its own"));
  CHECK_THAT(cure(Runtime::kNative, Kind::kSelfHeldLock, lock("state.lock", "")),
             Contains("Unlock state.lock before fork()"));
  // What the forking thread itself holds is no matter of OpenMP's workers.
  CHECK_THAT(cure(Runtime::kOpenMp, Kind::kSelfHeldLock, lock("state.lock", "")),
             Contains("Unlock state.lock before fork()"));
}
