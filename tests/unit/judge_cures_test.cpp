// The cure speaks the program's own language.
#include <catch2/catch.hpp>

#include "detector/verdict/cures.hpp"

using namespace forkscope;
using Catch::Contains;
using record::Kind;

namespace {

ModuleRecord module(const std::string& path) {
  ModuleRecord record;
  record.path = path;
  return record;
}

LockInfo lock(const std::string& symbol, const std::string& path) {
  LockInfo info;
  info.symbol = symbol;
  info.module = path;
  return info;
}

std::string cure(Runtime runtime, Kind kind, const LockInfo& of = {},
                 const std::string& executable = "") {
  CureFacts facts;
  facts.runtime = runtime;
  facts.kind = kind;
  facts.lock = of;
  facts.executable = executable;
  return cure_for(facts);
}

}  // namespace

TEST_CASE("the runtime is known by executable or library", "[judge][cures]") {
  CHECK(runtime_of("/usr/bin/python3.11", {}) == Runtime::kPython);
  CHECK(runtime_of("/usr/bin/python3", {}) == Runtime::kPython);
  CHECK(runtime_of("/usr/sbin/uwsgi", {module("/usr/lib/libpython3.11.so.1.0")}) ==
        Runtime::kPython);
  CHECK(runtime_of("/usr/bin/ruby3.1", {}) == Runtime::kRuby);
  CHECK(runtime_of("/usr/sbin/app", {module("/usr/lib/libruby-3.1.so.3.1")}) == Runtime::kRuby);
  CHECK(runtime_of("/usr/bin/node", {}) == Runtime::kNode);
  CHECK(runtime_of("/usr/bin/sim", {module("/usr/lib/libgomp.so.1")}) == Runtime::kOpenMp);
  CHECK(runtime_of("/usr/bin/python3", {module("/usr/lib/libgomp.so.1")}) == Runtime::kPython);
}

TEST_CASE("a name that only begins like an interpreter's is none", "[judge][cures]") {
  CHECK(runtime_of("/usr/bin/python3-config", {}) == Runtime::kNative);
  CHECK(runtime_of("/usr/bin/nodemanager", {}) == Runtime::kNative);
  CHECK(runtime_of("/usr/bin/ruby-build", {}) == Runtime::kNative);
  CHECK(runtime_of("/home/python3/bin/server", {}) == Runtime::kNative);
  CHECK(runtime_of("", {}) == Runtime::kNative);
}

TEST_CASE("Python is told of spawn and forkserver", "[judge][cures]") {
  for (Kind kind : {Kind::kOrphanedLock, Kind::kLostThread}) {
    CHECK_THAT(cure(Runtime::kPython, kind, {}, "/usr/bin/python3"),
               Contains("multiprocessing.get_context(\"spawn\")") &&
                   Contains("get_context(\"forkserver\")") && Contains("os.posix_spawn()"));
  }
}

TEST_CASE("Ruby, Node and OpenMP are told their own ways", "[judge][cures]") {
  CHECK_THAT(cure(Runtime::kRuby, Kind::kLostThread, {}, ""),
             Contains("Process.spawn") && Contains("before_fork"));
  CHECK_THAT(cure(Runtime::kNode, Kind::kOrphanedLock, {}, ""), Contains("child_process.spawn()"));
  CHECK_THAT(cure(Runtime::kOpenMp, Kind::kLostThread, {}, ""), Contains("parallel region"));
}

TEST_CASE("C++ is told what to write for which lock", "[judge][cures]") {
  const std::string text = cure(Runtime::kNative, Kind::kOrphanedLock,
                                lock("orders.file_lock", "/bin/reader"), "/bin/reader");
  CHECK_THAT(text, Contains("posix_spawn()") &&
                       Contains("pthread_atfork(prepare, parent, child)") &&
                       Contains("prepare locks orders.file_lock"));
  CHECK_THAT(text, !Contains("belongs to"));
}

TEST_CASE("a library's lock is the library's to protect", "[judge][cures]") {
  CHECK_THAT(cure(Runtime::kNative, Kind::kOrphanedLock,
                  lock("cache_lock", "/usr/lib/libtable.so.4"), "/bin/reader"),
             Contains("belongs to libtable.so.4"));
}

TEST_CASE("a lost thread and a self-held lock have other cures than an orphaned one",
          "[judge][cures]") {
  CHECK_THAT(cure(Runtime::kNative, Kind::kLostThread, {}, ""), Contains("pool of its own"));
  CHECK_THAT(cure(Runtime::kNative, Kind::kSelfHeldLock, lock("state.lock", ""), ""),
             Contains("Unlock state.lock before fork()"));
  // What the forking thread itself holds is no matter of OpenMP's workers.
  CHECK_THAT(cure(Runtime::kOpenMp, Kind::kSelfHeldLock, lock("state.lock", ""), ""),
             Contains("Unlock state.lock before fork()"));
}
