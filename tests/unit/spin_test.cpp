// Loops that only wait, told from loops that work, by samples written down by hand.
#include <catch2/catch.hpp>

#include "detector/verdict/outside/spin.hpp"
#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

Frame at(const std::string& text, std::uint64_t address) {
  Frame result = frame(text);
  result.address = address;
  return result;
}

/// Sample `i` of a loop in libpool that yields, and counts in a register how often.
SpinSample yields(std::uint64_t count = 0) {
  SpinSample sample;
  sample.pc = 0x7f0000210017;
  sample.sp = 0x7ffc00008000;
  sample.registers = {1, count, 3};
  sample.stack = {at("sched_yield@libc", 0x7f0000210017), at("@pool", 0x7f0000001010),
                  at("pool_run@pool", 0x7f0000002020), at("main@app", 0x555500000300)};
  return sample;
}

std::vector<SpinSample> samples(std::size_t count, const SpinSample& sample) {
  return std::vector<SpinSample>(count, sample);
}

/// Two other threads of the parent: which of three forked cannot be told while the child runs.
Story spins(const char* start) {
  Story story;
  for (const std::int32_t tid : {101, 102}) story.parent(Thread(tid, "pool-0").runs().starts_in(start));
  story.child(Thread(kChild).runs());
  for (Mapping& mapping : story.evidence.process.mappings)
    if (mapping.shared) mapping.path = "/tmp/session/records";
  return story;
}

}  // namespace

TEST_CASE("a nameless loop of a library waits for threads that were started in it", "[spin]") {
  const Story story = spins("worker@pool");
  const auto finding = judge_spin(story.evidence, samples(kSpinSamples, yields()));
  REQUIRE(finding);
  CHECK(finding->kind == "lost-thread");
  CHECK(finding->certainty == "probable");
  CHECK(finding->verdict.find("libpool.so.1") != std::string::npos);
}

TEST_CASE("what glibc remembers of lost threads will do where the parent is gone", "[spin]") {
  Story story = spins("worker@pool");
  story.parent_gone().remembers("worker@pool");
  CHECK(judge_spin(story.evidence, samples(kSpinSamples, yields())));
}

TEST_CASE("a library's loop may count its turns, the program's own may not", "[spin]") {
  std::vector<SpinSample> counting;
  for (std::uint64_t i = 0; i < kSpinSamples; ++i) counting.push_back(yields(i));
  CHECK(judge_spin(spins("worker@pool").evidence, counting));
  for (SpinSample& sample : counting) sample.stack[1] = at("spin@app", 0x555500000200);
  CHECK_FALSE(judge_spin(spins("worker@app").evidence, counting));
}

TEST_CASE("a loop that moves through memory, or changes two things, works", "[spin]") {
  std::vector<SpinSample> moving, computing;
  for (std::uint64_t i = 0; i < kMostSpinSamples; ++i) {
    moving.push_back(yields(0x555600000000 + i * 64));
    computing.push_back(yields(i));
    computing.back().registers[2] = i * i;
  }
  CHECK_FALSE(judge_spin(spins("worker@pool").evidence, moving));
  CHECK_FALSE(judge_spin(spins("worker@pool").evidence, computing));
}

TEST_CASE("samples from all over a program are of no loop", "[spin]") {
  std::vector<SpinSample> all_over;
  for (std::uint64_t i = 0; i < kMostSpinSamples; ++i) {
    SpinSample sample = yields();
    sample.pc += 64 * i;
    sample.stack = {at("work@pool", 0x7f0000003000 + 64 * i), at("main@app", 0x555500000300 + i)};
    all_over.push_back(sample);
  }
  CHECK_FALSE(judge_spin(spins("worker@pool").evidence, all_over));
}

TEST_CASE("one sample in ten may be of something else", "[spin]") {
  std::vector<SpinSample> most = samples(2 * kSpinSamples, yields());
  most[3].stack = {at("handler@app", 0x555500000700)};
  most[0].stack.resize(1);
  CHECK(judge_spin(spins("worker@pool").evidence, most));
}

TEST_CASE("a loop that a thread of the child serves ends", "[spin]") {
  Story story = spins("worker@pool");
  SECTION("its stack is in that code") {
    story.beside(Thread(kChild + 1, "pool-0").in_call("epoll_pwait").from({"worker@pool"}));
  }
  SECTION("it began there") {
    story.beside(Thread(kChild + 1, "pool-0").idles().starts_in("worker@pool"));
  }
  SECTION("nothing is known of it") { story.beside(Thread(kChild + 1).runs()); }
  CHECK_FALSE(judge_spin(story.evidence, samples(kSpinSamples, yields())));
}

TEST_CASE("a loop that nothing serves is a lock, if nothing at all can end it", "[spin]") {
  Story story = spins("reader@app");
  CHECK_FALSE(judge_spin(story.evidence, samples(kSpinSamplesAlone - 1, yields())));
  const auto finding = judge_spin(story.evidence, samples(kSpinSamplesAlone, yields()));
  REQUIRE(finding);
  CHECK(finding->kind == "orphaned-lock");
  SECTION("a handler") { story.evidence.process.caught_signals = 1u << 14; }
  SECTION("another thread") { story.beside(Thread(kChild + 1, "own").idles()); }
  SECTION("shared memory") {
    for (Mapping& mapping : story.evidence.process.mappings)
      if (mapping.shared) mapping.path = "/dev/shm/pool";
  }
  SECTION("no thread was lost") {
    story.evidence.ancestors[0].threads.resize(1);
  }
  CHECK_FALSE(judge_spin(story.evidence, samples(kSpinSamplesAlone, yields())));
}
