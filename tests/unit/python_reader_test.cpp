// Python frames read from memory that was made by hand, and from memory that was damaged.
#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

#include "detector/inspect/python/python_reader.hpp"
#include "tests/unit/support/python_process.hpp"
#include "tests/unit/support/python_tables.hpp"

namespace {

using namespace forkscope;
using namespace forkscope::test;

constexpr std::int32_t kMain = 100, kWorker = 101;

PythonProcess process_of(int minor) {
  if (minor < 13) {
    return PythonProcess(*python::known_layout(minor),
                         minor < 11 ? 0 : 0x030000f0 | std::uint32_t(minor) << 16);
  }
  const auto& description = minor == 13 ? kDescription313 : kDescription314;
  std::vector<std::byte> bytes(8 + description.size() * 8);
  std::memcpy(bytes.data(), "xdebugpy", 8);
  std::memcpy(bytes.data() + 8, description.data(), description.size() * 8);
  return PythonProcess(python::describe(bytes).value().layout.value(), 0, description);
}

/// Two threads: <module> has called wait() through C code; <module> has called run() and größe().
PythonProcess two_threads(int minor) {
  PythonProcess process = process_of(minor);
  const auto module = process.code(U"<module>", U"/srv/app.py", 1);
  const auto wait = process.code(U"wait", U"/srv/数.py", 20);
  const auto run = process.code(U"run", U"/srv/\U0001f40d.py", 30);
  const auto size = process.code(U"größe", U"/srv/app.py", 40);
  const auto shim = process.layout().first_shim_owner != 0xff;
  std::vector<PythonProcess::Frame> first{{wait}};
  // What stands between C code and Python code has something in it that is no code.
  if (shim) first.push_back({process.text(U"no code"), true});
  first.push_back({module});
  process.thread(process.pthread(kMain), kMain, process.frames(first));
  process.thread(process.pthread(kWorker), kWorker, process.frames({{size}, {run}, {module}}));
  return process;
}

std::unique_ptr<PythonReader> open(PythonProcess& process, std::string* why_not = nullptr) {
  return PythonReader::open(process.memory(), process.modules(), process.mappings(), why_not);
}

using Lines = std::vector<std::string>;
Lines lines(const std::vector<PythonFrame>& frames) {
  Lines result;
  for (const PythonFrame& frame : frames) {
    result.push_back(frame.function + " " + frame.file + ":" + std::to_string(frame.line));
  }
  return result;
}

TEST_CASE("frames of every version are read", "[python]") {
  for (const int minor : {9, 10, 11, 12, 13, 14}) {
    CAPTURE(minor);
    PythonProcess process = two_threads(minor);
    std::string why_not = "unset";
    const auto reader = open(process, &why_not);
    REQUIRE(reader);
    CHECK(why_not.empty());
    CHECK(reader->version().starts_with("3." + std::to_string(minor)));
    const std::string of = minor < 11 ? "" : "of.";
    CHECK(lines(reader->frames(kMain, 0)) ==
          Lines{of + "wait /srv/数.py:20", of + "<module> /srv/app.py:1"});
    CHECK(lines(reader->frames(kWorker, 0)) == Lines{of + "größe /srv/app.py:40",
                                                     of + "run /srv/\U0001f40d.py:30",
                                                     of + "<module> /srv/app.py:1"});
    CHECK(reader->frames(kWorker + 1, 0).empty());
    CHECK(reader->frames(0, 0).empty());
  }
}

TEST_CASE("a thread that starts later is found, one that calls further is followed", "[python]") {
  PythonProcess process = two_threads(12);
  const auto reader = open(process);
  REQUIRE(reader);
  CHECK(reader->frames(200, 0).empty());
  const auto late = process.code(U"late", U"late.py", 5);
  process.thread(process.pthread(200), 200, process.frames({{late}}));
  CHECK(lines(reader->frames(200, 0)) == Lines{"of.late late.py:5"});
  // The same code object's memory, used anew.
  process.memory().put(late + process.layout().code_qualname, process.text(U"other"));
  CHECK(lines(reader->frames(200, 0)) == Lines{"other late.py:5"});
}

TEST_CASE("in a forked child glibc's thread ID decides, not the parent's", "[python]") {
  for (const int minor : {9, 11, 14}) {
    PythonProcess process = process_of(minor);
    const auto code = [&](const char32_t* name) { return process.code(name, U"f.py", 1); };
    const auto here = process.frames({{code(U"here")}});
    const auto gone = process.frames({{code(U"gone")}});
    // The thread that forked was 101 in the parent; 100 was not copied: glibc has set its ID to 0.
    process.thread(process.pthread(0), 100, gone);
    process.thread(process.pthread(500), 101, here);
    const auto reader = open(process);
    REQUIRE(reader);
    REQUIRE(reader->frames(500, 0).size() == 1);
    CHECK(reader->frames(500, 0)[0].function.ends_with("here"));
    CHECK(reader->frames(101, 0).empty());
    // What the vanished one did can still be asked for, where the interpreter noted its ID.
    CHECK(reader->frames(100, 0).size() == (minor == 9 ? 0 : 1));
  }
}

TEST_CASE("without thread IDs the stack tells threads apart", "[python]") {
  PythonProcess process = process_of(10);
  const auto code = [&](const char32_t* name) { return process.code(name, U"f.py", 1); };
  // Three stacks in one mapping: no guard pages between. The middle one's thread runs no Python.
  std::vector<std::uint64_t> tops;
  std::vector<std::uint64_t> stacks;
  for (const char32_t* name : {U"low", U"high"}) {
    stacks.push_back(process.take(1024));
    tops.push_back(process.take(1024));  // no ring of glibc's in it
    process.thread(tops.back(), 0, process.frames({{code(name)}}));
  }
  const std::uint64_t beyond = process.take(64);
  process.map(beyond + 64);
  const auto reader = open(process);
  REQUIRE(reader);
  CHECK(lines(reader->frames(7, stacks[0] + 100)) == Lines{"low f.py:1"});
  CHECK(lines(reader->frames(8, stacks[1] + 100)) == Lines{"high f.py:1"});
  CHECK(reader->frames(9, beyond).empty());
  CHECK(reader->frames(9, beyond + 4096).empty());
}

TEST_CASE("a thread in two interpreters has the frames of both", "[python]") {
  PythonProcess process = process_of(13);
  const auto pthread = process.pthread(kMain);
  process.thread(pthread, kMain, process.frames({{process.code(U"outer", U"f.py", 1)}}));
  process.interpreter();
  process.thread(pthread, kMain, process.frames({{process.code(U"inner", U"g.py", 2)}}));
  const auto reader = open(process);
  REQUIRE(reader);
  CHECK(lines(reader->frames(kMain, 0)) == Lines{"of.inner g.py:2", "of.outer f.py:1"});
}

TEST_CASE("what is not CPython, or not known, is told apart", "[python]") {
  std::string why_not = "unset";
  PythonProcess process = two_threads(12);
  std::vector<ModuleRecord> none;
  CHECK_FALSE(PythonReader::open(process.memory(), none, {}, &why_not));
  CHECK(why_not.empty());

  PythonProcess later(*python::known_layout(12), 0x030800f0);
  CHECK_FALSE(open(later, &why_not));
  CHECK(why_not == "CPython 3.8.0 is not known to forkscope");

  auto description = kDescription314;
  description[1] = 1;
  PythonProcess free_threaded(*python::known_layout(12), 0, description);
  CHECK_FALSE(open(free_threaded, &why_not));
  CHECK(why_not == "CPython 3.14.10 (free-threaded) is not known to forkscope");

  PythonProcess other = two_threads(12);
  other.memory().put<std::uint64_t>(other.runtime() + other.layout().runtime_interpreters, 0);
  CHECK_FALSE(open(other, &why_not));
  CHECK(why_not ==
        "its CPython has not started, or does not keep its frames as CPython 3.12.0 does");
}

TEST_CASE("3.9 and 3.10, which look alike, are told by the size of their frames", "[python]") {
  for (const int minor : {9, 10}) {
    PythonProcess process = two_threads(minor);
    const auto reader = open(process);  // no file name says it
    REQUIRE(reader);
    CHECK(reader->version() == "3." + std::to_string(minor));
  }
}

TEST_CASE("circles end", "[python]") {
  for (const int minor : {9, 10, 11, 12, 13, 14}) {
    CAPTURE(minor);
    PythonProcess process = two_threads(minor);
    const auto frame = process.frames({{process.code(U"f", U"f.py", 1)}});
    process.memory().put(frame + process.layout().frame_previous, frame);
    const auto thread = process.thread(process.pthread(300), 300, frame);
    auto reader = open(process);
    REQUIRE(reader);
    CHECK(reader->frames(300, 0).size() == 1024);
    if (process.layout().first_shim_owner != 0xff) {
      process.memory().put<std::uint8_t>(frame + process.layout().frame_owner,
                                         process.layout().first_shim_owner);
      CHECK(reader->frames(300, 0).empty());
    }
    process.memory().put(thread + process.layout().thread_next, thread);
    CHECK_FALSE(open(process));
  }
}

TEST_CASE("damaged memory gives fewer frames, never a crash", "[python]") {
  std::mt19937_64 random(1);
  for (const int minor : {9, 10, 11, 12, 13, 14}) {
    PythonProcess process = two_threads(minor);
    process.map(StretchMemory::kBase + process.memory().bytes.size());
    const std::vector<std::byte> whole = process.memory().bytes;
    const std::size_t words = process.used() / 8;
    for (int round = 0; round < 1000; ++round) {
      process.memory().bytes = whole;
      for (std::uint64_t change = random() % 24; change > 0; --change) {
        const std::uint64_t where = StretchMemory::kBase + random() % words * 8;
        const std::uint64_t values[] = {random(), random() % 256, UINT64_MAX,
                                        StretchMemory::kBase + random() % words * 8};
        process.memory().put(where, values[random() % 4]);
      }
      const auto reader = open(process);
      if (!reader) continue;
      for (const std::int32_t tid : {kMain, kWorker, 0}) {
        CHECK(reader->frames(tid, StretchMemory::kBase + random() % process.used()).size() <= 1024);
      }
    }
  }
}

/// Every address can be read, and what is there is always something else.
class NoiseMemory final : public ProcessMemory {
 public:
  explicit NoiseMemory(PythonProcess& process) : process_(process) {}
  bool read(std::uint64_t address, std::span<std::byte> out) override {
    // The file that is loaded, so that there is an interpreter to look for.
    if (address >= process_.modules()[0].start && address < process_.modules()[0].end) {
      return process_.memory().read(address, out);
    }
    for (std::byte& byte : out) byte = std::byte(random_());
    return true;
  }

 private:
  PythonProcess& process_;
  std::mt19937 random_{1};
};

TEST_CASE("noise gives no reader", "[python]") {
  PythonProcess process = two_threads(10);
  NoiseMemory noise(process);
  for (int round = 0; round < 100; ++round) {
    const auto reader = PythonReader::open(noise, process.modules(), process.mappings(), nullptr);
    if (reader) CHECK(reader->frames(kMain, 0).empty());
  }
}

}  // namespace
