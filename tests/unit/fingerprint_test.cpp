// Fingerprints: what they count, and what they must not.
#include "detector/verdict/fingerprint.hpp"

#include <catch2/catch.hpp>

using namespace forkscope;

namespace {

Frame frame(const std::string& function, const std::string& module = "/opt/app/bin/reader") {
  Frame f;
  f.address = 0x55d0c0de1000;
  f.module = module;
  f.offset = 0x1000;
  f.function = function;
  f.file = "/home/user/reader.cpp";
  f.line = 88;
  return f;
}

Frame inlined(Frame frame) {
  frame.inlined = true;
  return frame;
}

Finding orphan() {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = "deadlock";
  f.process = 4712;
  f.fork = 1;
  f.lock = {0x55d0c0de5010, "mutex", "orders.file_lock", "/opt/app/bin/reader", 0x5010};
  f.holder.tid = 4711;
  f.holder.acquired = {frame("TableReader::read_row_group(int)"), frame("main")};
  f.waiter.tid = 4712;
  f.waiter.call = "pthread_mutex_lock";
  f.waiter.stack = {frame("TableReader::read_all()"), frame("main")};
  f.fork_stack = {frame("start_worker"), frame("main")};
  return f;
}

Finding heap_orphan() {
  Finding f = orphan();
  f.lock = {0x7f0011223344, "mutex", "", "", 0};
  return f;
}

bool same(const Finding& a, const Finding& b) { return fingerprint_of(a) == fingerprint_of(b); }

}  // namespace

TEST_CASE("a fingerprint is a version and 64 bits", "[fingerprint]") {
  CHECK(is_fingerprint(fingerprint_of(orphan())));
  CHECK(is_fingerprint("v1-0123456789abcdef"));
  CHECK_FALSE(is_fingerprint("v1-0123456789ABCDEF"));
  CHECK_FALSE(is_fingerprint("v2-0123456789abcdef"));
  CHECK_FALSE(is_fingerprint("v1-0123456789abcde"));
}

TEST_CASE("the fingerprint of a finding never changes between versions", "[fingerprint]") {
  // Baselines of users have it: who changes this changes the prefix.
  CHECK(site_words(orphan()) ==
        "mutex orders.file_lock (reader), met in TableReader::read_all (reader)");
  CHECK(fingerprint_of(orphan()) == "v1-1b3666ebca0ca54c");
}

TEST_CASE("what differs from run to run and build to build does not count", "[fingerprint]") {
  Finding other = orphan();
  SECTION("addresses, as the layout is random") {
    other.lock.address += 0x1000;
    for (Frame& f : other.waiter.stack) f.address += 0x1000;
    for (Frame& f : other.holder.acquired) f.address += 0x1000;
  }
  SECTION("processes, threads and forks") {
    other.process = 1, other.fork = 9, other.waiter.tid = 3, other.holder.tid = 2;
    other.holder.name = "reader-17";
  }
  SECTION("lines and files") {
    for (Frame& f : other.waiter.stack) f.line += 10, f.file = "elsewhere.cpp";
  }
  SECTION("offsets of what has a name") {
    other.lock.offset += 8;
    other.waiter.stack[0].offset += 8;
  }
  SECTION("where it is installed") {
    other.lock.module = "/home/user/build/reader";
    for (Frame& f : other.waiter.stack) f.module = "/home/user/build/reader (deleted)";
  }
  SECTION("whether inlined functions are known") {
    other.waiter.stack.insert(other.waiter.stack.begin(), inlined(frame("Cache::get()")));
    other.holder.acquired.insert(other.holder.acquired.begin(), inlined(frame("Lock::Lock()")));
  }
  SECTION("frames of the C and C++ libraries, and of templates") {
    other.waiter.stack.insert(other.waiter.stack.begin(),
                              {frame("pthread_mutex_lock", "/lib/x86_64-linux-gnu/libc.so.6"),
                               frame("std::mutex::lock()")});
  }
  SECTION("outer frames, and how much of a stack is known") {
    other.waiter.stack.push_back(frame("_start"));
    other.holder.acquired.resize(1);
  }
  SECTION("what became of the child, and what was seen of it") {
    other.severity = "hazard", other.outcome = "killed", other.evidence = "in-transit";
    other.explanation = other.cure = other.verdict = "other words";
  }
  SECTION("which of the places that take it had it when another thread forked") {
    other.holder.acquired[0] = frame("TableReader::close()");
  }
  SECTION("who forked, where the sites say enough") { other.fork_stack = {frame("elsewhere")}; }
  CHECK(same(orphan(), other));
}

TEST_CASE("what a reader would call another finding has another fingerprint", "[fingerprint]") {
  Finding other = orphan();
  SECTION("the kind") { other.kind = "missing-memory"; }
  SECTION("that it is no wait") { other.kind = "unsafe-call"; }
  SECTION("the variable") { other.lock.symbol = "orders.index_lock"; }
  SECTION("its module") { other.lock.module = "/usr/lib/libreader.so.2"; }
  SECTION("who waits") { other.waiter.stack[0] = frame("TableReader::size()"); }
  SECTION("that nobody waits") { other.waiter = {}; }
  SECTION("the name the program gave it") { other.lock.name = "orders"; }
  CHECK_FALSE(same(orphan(), other));
}

TEST_CASE("which one of many locks it was is chance, which member is not", "[fingerprint]") {
  Finding one = orphan(), other = orphan();
  one.lock.symbol = "shards[3].lock", other.lock.symbol = "shards[17].lock";
  CHECK(same(one, other));
  other.lock.symbol = "shards[17].list_lock";
  CHECK_FALSE(same(one, other));
  one.lock.symbol = "shards+0x18", other.lock.symbol = "shards+0x680";
  CHECK(same(one, other));
  one.lock.symbol = "f[abi:cxx11]()::lock", other.lock.symbol = "f[abi:cxx12]()::lock";
  CHECK_FALSE(same(one, other));
}

TEST_CASE("locks on the heap are told apart by where they were met", "[fingerprint]") {
  Finding other = heap_orphan();
  other.lock.address = 0x7f9988776655;
  CHECK(same(heap_orphan(), other));
  SECTION("by more of the wait than that of a variable") {
    other.waiter.stack[1] = frame("other_command");
    CHECK_FALSE(same(heap_orphan(), other));
    Finding named = orphan();
    named.waiter.stack[1] = frame("other_command");
    CHECK(same(orphan(), named));
  }
  SECTION("if nobody met it, by who took it") {
    other.waiter = {};
    Finding third = other;
    third.holder.acquired[0] = frame("TableReader::close()");
    CHECK_FALSE(same(other, third));
  }
  SECTION("by a name, then nothing else is needed") {
    Finding named = heap_orphan();
    named.lock.name = other.lock.name = "connection";
    other.waiter.stack[1] = frame("other_command");
    CHECK(same(named, other));
    other.lock.name = "pool";
    CHECK_FALSE(same(named, other));
  }
}

TEST_CASE("what the library knows and a look from outside does not is not counted",
          "[fingerprint]") {
  for (const Finding& recorded : {orphan(), heap_orphan()}) {
    Finding seen = recorded;
    seen.holder.acquired.clear();
    seen.fork_stack.clear();
    seen.kind = "lost-thread";
    seen.waiter.call = "futex";
    seen.lock.type = "recursive mutex";
    CHECK(same(recorded, seen));
  }
}

TEST_CASE("a lock nobody has touched is known by who forked", "[fingerprint]") {
  Finding one = orphan();
  one.waiter = {};
  Finding other = one;
  CHECK(same(one, other));
  other.fork_stack = {frame("start_helper")};
  CHECK_FALSE(same(one, other));
}

namespace {

/// A threading.Lock, taken while another thread had it.
Finding python_lock(const std::vector<PythonFrame>& python) {
  Finding f = heap_orphan();
  f.waiter.stack = {frame("PyThread_acquire_lock_timed", "/usr/bin/python3.11"),
                    frame("_PyEval_EvalFrameDefault", "/usr/bin/python3.11"),
                    frame("__libc_start_main", "/lib/x86_64-linux-gnu/libc.so.6")};
  f.holder.acquired = f.waiter.stack;
  f.fork_stack = {frame("os_fork_impl", "/usr/bin/python3.11")};
  f.waiter.python = python;
  return f;
}

}  // namespace

TEST_CASE("locks of Python, which all look alike from C, are told apart by Python's frames",
          "[fingerprint]") {
  const Finding one = python_lock({{"Logger.emit", "/srv/app/log.py", 7}});
  CHECK(is_fingerprint(fingerprint_of(one)));
  CHECK(same(one, python_lock({{"Logger.emit", "/home/user/log.py", 9}})));
  CHECK_FALSE(same(one, python_lock({{"Cache.get", "/srv/app/log.py", 7}})));
  CHECK_FALSE(same(one, python_lock({{"Logger.emit", "/srv/app/other.py", 7}})));
  SECTION("by functions of the program, where it waits in the standard library") {
    const PythonFrame wait{"Condition.wait", "/usr/lib/python3.11/threading.py", 320};
    const Finding get = python_lock({wait, {"fetch", "/srv/app/jobs.py", 3}});
    CHECK(is_fingerprint(fingerprint_of(get)));
    CHECK_FALSE(same(get, python_lock({wait, {"store", "/srv/app/jobs.py", 3}})));
    const PythonFrame inside{"Queue.get", "/usr/lib/python3.11/queue.py", 171};
    CHECK(same(get, python_lock({wait, inside, {"fetch", "/srv/app/jobs.py", 3}})));
  }
  SECTION("installed packages are places, too") {
    const Finding package =
        python_lock({{"pull", "/venv/lib/python3.11/site-packages/feed/pull.py", 3}});
    CHECK(is_fingerprint(fingerprint_of(package)));
  }
}

TEST_CASE("without a place in the program a finding is unidentified", "[fingerprint]") {
  CHECK_FALSE(is_fingerprint(std::string(kUnidentified)));
  SECTION("the interpreter's own code") {
    CHECK(fingerprint_of(python_lock({})) == kUnidentified);
    CHECK(fingerprint_of(python_lock({{"run", "<frozen importlib._bootstrap>", 1},
                                      {"wait", "/usr/lib/python3.12/threading.py", 1}})) ==
          kUnidentified);
    Finding ruby = heap_orphan();
    ruby.holder = {};  // where it was taken is a place, too
    ruby.waiter.stack = {frame("rb_mutex_lock", "/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1.2")};
    CHECK(fingerprint_of(ruby) == kUnidentified);
    CHECK_FALSE(finding_key(ruby) == finding_key(python_lock({})));
  }
  SECTION("its variables") {
    Finding lock = python_lock({});
    lock.lock = {0x55d0c0de5010, "mutex", "_PyRuntime+0x1a8", "/usr/bin/python3.11", 0x5010};
    CHECK(fingerprint_of(lock) == kUnidentified);
  }
  SECTION("code that was made at run time") {
    Finding made = heap_orphan();
    made.holder = {};
    made.waiter.stack = {frame("", "")};
    CHECK(fingerprint_of(made) == kUnidentified);
  }
  SECTION("not what is only called like a runtime") {
    for (const char* module : {"/opt/libpthreadpool.so.1", "/opt/pythonic", "/opt/libc-client.so",
                               "/opt/nodewatch", "/opt/libcrypto.so.3"}) {
      Finding f = heap_orphan();
      f.waiter.stack = {frame("f", module)};
      CHECK(is_fingerprint(fingerprint_of(f)));
    }
  }
  SECTION("an extension's frame is a place in a Python program") {
    Finding extension = python_lock({});
    extension.waiter.stack.insert(
        extension.waiter.stack.begin(),
        frame("f", "/venv/lib/python3.11/site-packages/x/x.cpython-311-x86_64-linux-gnu.so"));
    CHECK(is_fingerprint(fingerprint_of(extension)));
  }
}

TEST_CASE("without symbols the offset tells, except in libc", "[fingerprint]") {
  Finding one = orphan(), other = orphan();
  one.lock.symbol = other.lock.symbol = "";
  other.lock.offset += 0x40;
  CHECK_FALSE(same(one, other));
  one.lock.module = other.lock.module = "/lib/x86_64-linux-gnu/libc.so.6";
  CHECK(same(one, other));
  one.waiter.stack[0].function = other.waiter.stack[0].function = "";
  CHECK(same(one, other));
  other.waiter.stack[0].offset += 0x40;
  CHECK_FALSE(same(one, other));
}

TEST_CASE("a fork around the handlers is known by where it was and how", "[fingerprint]") {
  Finding one;
  one.kind = "fork-bypass";
  one.fork_stack = {frame("start_worker")};
  Finding other = one;
  CHECK(fingerprint_of(one, "clone") == fingerprint_of(other, "clone"));
  CHECK(fingerprint_of(one, "clone") != fingerprint_of(one, "_Fork"));
  other.fork_stack = {frame("start_helper")};
  CHECK_FALSE(same(one, other));
}

TEST_CASE("the address of a fault and a thread's handle do not count", "[fingerprint]") {
  Finding one = orphan();
  one.lock = {0x7f0000001000, "memory", "", "", 0};
  one.kind = "missing-memory";
  Finding other = one;
  other.lock.address += 64;
  CHECK(same(one, other));
  one.kind = other.kind = "lost-thread";
  one.lock.type = other.lock.type = "thread";
  CHECK(same(one, other));
}

TEST_CASE("numbers in the names of locked files do not count", "[fingerprint]") {
  Finding one = orphan();
  one.lock = {5, "flock lock", "", "", 0};
  one.lock.descriptor = 5;
  one.lock.file = "/tmp/app-4711/session.2291.lock";
  Finding other = one;
  other.lock.descriptor = 6;
  other.lock.file = "/var/tmp/session.18.lock";
  CHECK(same(one, other));
  other.lock.file = "/var/tmp/other.18.lock";
  CHECK_FALSE(same(one, other));
}

TEST_CASE("parameters are taken off functions, names that look like some are not",
          "[fingerprint]") {
  CHECK(without_parameters("main") == "main");
  CHECK(without_parameters("f(int)") == "f");
  CHECK(without_parameters("A::f(void (*)(int)) const") == "A::f");
  CHECK(without_parameters("(anonymous namespace)::f(int)") == "(anonymous namespace)::f");
  CHECK(without_parameters("A::operator()(int) const") == "A::operator()");
  CHECK(without_parameters("A::operator()") == "A::operator()");
  CHECK(without_parameters("f(int)::{lambda(char)#1}::operator()(char) const") ==
        "f(int)::{lambda(char)#1}::operator()");
  CHECK(without_parameters("a::(anonymous namespace)") == "a::(anonymous namespace)");
}

TEST_CASE("modules count without folder and version", "[fingerprint]") {
  CHECK(module_name("/usr/lib/libfoo.so.1.2.3") == "libfoo.so");
  CHECK(module_name("/usr/lib/libfoo.so") == "libfoo.so");
  CHECK(module_name("/opt/app (deleted)") == "app");
  CHECK(module_name("python3.11") == "python3.11");
}
