// A futex wait and the memory around it, written by hand or read from a fixture of
// tests/process/lock_capture, for the tests of lock layouts.
#pragma once

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

#include "detector/verdict/outside/lock_layout.hpp"

namespace forkscope::test {

struct LockScene {
  static constexpr std::uint64_t kBase = 0x7f0000001000;  // of the memory, hand-written

  FutexWait wait{kBase, 0, true, false, false, false};
  Abi abi = Abi::kX86_64;
  Libc libc = Libc::kGlibc;
  WaitHint hint;
  std::vector<MemoryBytes> memory{{kBase - 128, std::vector<std::byte>(384)}};
  // What the fixture's program said.
  std::uint64_t truth_lock = 0;
  std::int32_t truth_owner = 0;

  template <class T>
  LockScene& put(std::int64_t offset, T value) {
    std::memcpy(memory.front().bytes.data() + 128 + offset, &value, sizeof value);
    return *this;
  }
  /// Words one after the other from kBase on.
  LockScene& words(std::initializer_list<std::uint32_t> values, std::int64_t offset = 0) {
    for (std::uint32_t value : values) {
      put(offset, value);
      offset += 4;
    }
    return *this;
  }
  /// A wait on the word at an offset, for whatever it is now; FUTEX_WAIT, private.
  LockScene& waits(std::int64_t offset = 0) {
    wait.address = kBase + std::uint64_t(offset);
    std::memcpy(&wait.expected, memory.front().bytes.data() + 128 + offset, 4);
    return *this;
  }
  LockScene& bitset() { return wait.bitset = true, *this; }
  LockScene& shared() { return wait.is_private = false, *this; }
  LockScene& pi() { return wait.pi = true, *this; }
  LockScene& timed() { return wait.timed = true, *this; }
  LockScene& in(std::vector<std::string> functions) {
    hint.functions = std::move(functions);
    return *this;
  }

  RecognisedLock look() const { return recognise(wait, EvidenceMemory(memory), abi, libc, hint); }
  RecognisedLock look_without_hint() const {
    return recognise(wait, EvidenceMemory(memory), abi, libc, {});
  }
};

constexpr std::uint32_t kTid = 4711;

/// A mutex of glibc, of some kind, that kTid holds and another thread waits for.
inline LockScene mutex(std::uint32_t kind, std::uint32_t count = 0) {
  LockScene scene;
  return scene.words({2, count, kTid, 1, kind}).waits();
}

/// A file of tests/data/locks.
inline LockScene captured(const std::string& name) {
  constexpr std::uint32_t kPrivate = 128, kCommand = 127;
  LockScene scene;
  MemoryBytes bytes;
  std::ifstream file(std::string(FORKSCOPE_TEST_DATA) + "/locks/" + name + ".txt");
  INFO(name);
  REQUIRE(file);
  std::string line;
  while (std::getline(file, line)) {
    const auto blank = line.find(' ');
    const std::string key = line.substr(0, blank), value = line.substr(blank + 1);
    auto number = [&] { return std::stoull(value, nullptr, 0); };
    if (key == "address") {
      scene.wait.address = number();
    } else if (key == "operation") {
      const auto operation = std::uint32_t(number());
      const std::uint32_t command = operation & kCommand;
      scene.wait.is_private = (operation & kPrivate) != 0;
      scene.wait.bitset = command == 9;
      scene.wait.pi = command == 6 || command == 13;
    } else if (key == "expected") {
      scene.wait.expected = std::uint32_t(number());
    } else if (key == "timed") {
      scene.wait.timed = number() != 0;
    } else if (key == "lock") {
      scene.truth_lock = number();
    } else if (key == "owner") {
      scene.truth_owner = std::int32_t(number());
    } else if (key == "module") {
      scene.hint.module = value;
    } else if (key == "caller-module") {
      scene.hint.caller_module = value;
    } else if (key == "address-module") {
      scene.hint.address_module = value;
    } else if (key == "function") {
      scene.hint.functions.push_back(value);
    } else if (key == "bytes") {
      for (std::size_t i = 0; i + 1 < value.size(); i += 2)
        bytes.bytes.push_back(std::byte(std::stoul(value.substr(i, 2), nullptr, 16)));
    }
  }
  bytes.address = scene.wait.address - 128;
  scene.memory = {std::move(bytes)};
  if (name.starts_with("musl-")) scene.libc = Libc::kMusl;
  return scene;
}

}  // namespace forkscope::test
