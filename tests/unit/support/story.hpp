// A recorded run to tell findings about: a program that forks while it reads a table.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"
#include "tests/unit/support/arena_builder.hpp"
#include "tests/unit/support/fake_symbols.hpp"

namespace forkscope::test {

inline constexpr std::uint64_t kMain = 0x1010, kReadAll = 0x1020, kReadRowGroup = 0x1030,
                               kStartThread = 0x5010, kWorker = 0x1040, kReaderLoop = 0x1050,
                               kLock = 0x1800, kOtherLock = 0x1900, kHeapLock = 0x99990000,
                               kWrapper = 0x7010, kTrampoline = 0x7020;

using Names = std::vector<std::string>;

/// Program 0x1000, libc 0x5000, preload library 0x7000.
struct Story {
  ArenaBuilder arena;
  FakeNamer namer;
  Unwinder unwind = always({});

  explicit Story(const std::string& exe = "/usr/bin/reader") {
    arena.as(100, 101).hello(exe, {"reader"});
    arena.module(0x1000, 0x2000, "");
    arena.module(0x5000, 0x6000, "/lib/libc.so.6");
    arena.module(0x7000, 0x8000, "/opt/lib/libforkscope.so");
    namer.function(kMain, "main");
    namer.function(kReadAll, "read_all");
    namer.function(kReadRowGroup, "read_row_group", {"std::mutex::lock", "std::lock_guard"});
    namer.function(kWorker, "worker");
    namer.function(kReaderLoop, "reader_loop");
    namer.function(kStartThread, "start_thread");
    namer.function(kWrapper, "pthread_mutex_lock (forkscope)");
    namer.function(kTrampoline, "trampoline (forkscope)");
    namer.variable(kLock, "orders.file_lock");
    namer.variable(kOtherLock, "orders.index_lock");
  }

  static record::HeldLock held(std::uint64_t address = kLock) {
    return {address, kReadRowGroup, 102, record::LockType::kMutexNormal, 0, 0, 0};
  }

  void forked(std::uint64_t id, std::int32_t child,
              const std::vector<record::HeldLock>& locks = {held()},
              record::Api api = record::Api::kFork) {
    record::Fork fork = fork_of(id, child, api);
    fork.frames = 3;
    fork.stack[0] = kWrapper;
    fork.stack[1] = kWorker;
    fork.stack[2] = kMain;
    arena.as(child, child).fork(fork, {thread(101, "main"), thread(102, "row-reader")}, locks);
  }

  static record::Finding orphan(std::uint64_t fork = 1, std::uint64_t lock = kLock) {
    record::Finding finding{};
    finding.fork = fork;
    finding.lock_type = record::LockType::kMutexNormal;
    finding.lock = lock;
    finding.holder_tid = 102;
    finding.holder_start = kReaderLoop;
    finding.holder_caller = kReadRowGroup;
    std::memcpy(finding.holder_name, "row-reader", 11);
    finding.waiter_frames = 2;
    finding.waiter[0] = kWrapper;
    finding.waiter[1] = kReadAll;
    finding.living = 1;
    return finding;
  }

  Report judged(const RunFacts& facts = {}) { return judge(arena.session(), facts, unwind, namer); }
  Finding only() {
    Report report = judged();
    REQUIRE(report.findings.size() == 1);
    return report.findings[0];
  }
};

}  // namespace forkscope::test
