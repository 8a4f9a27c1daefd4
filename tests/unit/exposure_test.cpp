// What looks add up to, and how it is printed. Addresses are made up.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "detector/report/print_exposure.hpp"
#include "detector/verdict/exposure.hpp"

using namespace forkscope;
using record::LockType;

namespace {

struct Names : Namer {
  std::vector<Frame> code(std::uint64_t address, bool, const std::vector<ModuleRecord>&) override {
    Frame frame;
    frame.address = address;
    frame.function = "at_" + std::to_string(address);
    frame.file = "rows.cpp";
    frame.line = int(address);
    return {frame};
  }
  void data(LockInfo& lock, const std::vector<ModuleRecord>&) override {
    lock.symbol = "lock_" + std::to_string(lock.address);
  }
};

HeldNow mutex(std::uint64_t lock, std::int32_t tid, std::uint64_t caller = 0) {
  return {lock, LockType::kMutexNormal, 0, tid, caller};
}

Exposure result(const ExposureCounter& counter) {
  Names names;
  ExposureFacts facts;
  facts.pid = 4711;
  facts.program = "/usr/bin/server";
  facts.threads = 3;
  facts.seconds = 1;
  return counter.result(facts, names, {});
}

}  // namespace

TEST_CASE("exposure: each lock has its share, and `any` that of looks that saw one or more") {
  ExposureCounter counter;
  for (int i = 0; i < 100; ++i) {
    std::vector<HeldNow> held;
    if (i % 4 == 0) held.push_back(mutex(1, 10, 77));
    if (i % 2 == 0) held.push_back(mutex(2, 11));
    counter.add(held);
  }
  const Exposure exposure = result(counter);
  CHECK(exposure.any.share == 0.5);  // lock 1 is held only while lock 2 is
  CHECK(exposure.any.looks == 100);
  REQUIRE(exposure.locks.size() == 2);
  CHECK(exposure.locks[0].lock.symbol == "lock_2");
  CHECK(exposure.locks[0].probability.share == 0.5);
  CHECK(exposure.locks[0].sites.empty());
  CHECK(exposure.locks[1].probability.share == 0.25);
  CHECK(exposure.locks[1].evidence == "owner-word");
  REQUIRE(exposure.locks[1].sites.size() == 1);
  CHECK(exposure.locks[1].sites[0].hits == 25);
  CHECK(exposure.locks[1].sites[0].acquired.front().function == "at_77");
}

TEST_CASE("exposure: two readers of one lock are one hit and two holders") {
  ExposureCounter counter;
  counter.thread({10, "reader-0", 500});
  for (int i = 0; i < 10; ++i)
    counter.add({{7, LockType::kRwlock, record::kLockReader, 10, 0},
                 {7, LockType::kRwlock, record::kLockReader, 11, 0}});
  const Exposure exposure = result(counter);
  REQUIRE(exposure.locks.size() == 1);
  CHECK(exposure.locks[0].probability.hits == 10);
  CHECK(exposure.locks[0].evidence == "holder-table");
  REQUIRE(exposure.locks[0].holders.size() == 2);
  CHECK(exposure.locks[0].holders[0].name == "reader-0");
  CHECK(exposure.locks[0].holders[0].start->function == "at_500");
  CHECK_FALSE(exposure.locks[0].holders[1].start);
}

TEST_CASE("exposure: who holds and where is told by how often it was seen") {
  ExposureCounter counter;
  for (int i = 0; i < 10; ++i) counter.add({mutex(1, i < 3 ? 10 : 11, i < 4 ? 70 : 60)});
  const Exposure exposure = result(counter);
  CHECK(exposure.locks[0].holders[0].tid == 11);
  CHECK(exposure.locks[0].holders[0].hits == 7);
  CHECK(exposure.locks[0].sites[0].acquired.front().function == "at_60");
  CHECK(exposure.locks[0].sites[1].hits == 4);
}

TEST_CASE("exposure: what is inferred of semaphores is told apart") {
  ExposureCounter counter;
  for (int i = 0; i < 100; ++i) {
    std::vector<HeldNow> held;
    if (i < 50) held.push_back({3, LockType::kSemaphore, record::kLockEvidence, 10, 0});
    if (i < 20) held.push_back(mutex(1, 11));
    counter.add(held);
  }
  const Exposure exposure = result(counter);
  CHECK(exposure.any.share == 0.2);
  CHECK(exposure.any_with_semaphores.share == 0.5);
  CHECK(exposure.locks[0].evidence == "waited-last");
  CHECK(exposure_text(exposure, {}).find("With semaphores") != std::string::npos);
}

TEST_CASE("exposure: an address that becomes another lock begins anew") {
  ExposureCounter counter;
  for (int i = 0; i < 10; ++i) counter.add({mutex(1, 10)});
  for (int i = 0; i < 10; ++i) counter.add({{1, LockType::kSpinlock, 0, 11, 0}});
  const Exposure exposure = result(counter);
  REQUIRE(exposure.locks.size() == 1);
  CHECK(exposure.locks[0].lock.type == "spin lock");
  CHECK(exposure.locks[0].probability.hits == 10);
  CHECK(exposure.any.hits == 20);
}

TEST_CASE("exposure: a stack is wanted once for each place") {
  ExposureCounter counter;
  counter.add({mutex(1, 10, 70)});
  CHECK(counter.wants_site(1, 70));
  CHECK_FALSE(counter.wants_site(1, 71));
  CHECK_FALSE(counter.wants_site(2, 70));
  counter.site(1, 70, {{70, 80, 90}, true});
  CHECK_FALSE(counter.wants_site(1, 70));
  const Exposure exposure = result(counter);
  REQUIRE(exposure.locks[0].sites[0].acquired.size() == 3);
  CHECK(exposure.locks[0].sites[0].complete);
}

TEST_CASE("exposure: more locks than there is room for still count as any") {
  ExposureCounter counter;
  std::vector<HeldNow> held;
  for (std::uint64_t i = 0; i < 5000; ++i) held.push_back(mutex(1000 + i, 10));
  counter.add(held);
  const Exposure exposure = result(counter);
  CHECK(exposure.locks.size() == 4096);
  CHECK(exposure.uncounted == 904);
  CHECK(exposure.any.hits == 1);
}

TEST_CASE(
    "exposure: nothing held is said with its upper limit, nothing looked at without a number") {
  ExposureCounter counter;
  CHECK(exposure_text(result(counter), {}).find("not looked at") != std::string::npos);
  for (int i = 0; i < 1000; ++i) counter.add({});
  const std::string text = exposure_text(result(counter), {});
  CHECK(text.find("No look found a lock held") != std::string::npos);
  CHECK(text.find("probability below 1.") != std::string::npos);
}

TEST_CASE("exposure: names that would steer a terminal are made harmless") {
  ExposureCounter counter;
  counter.thread({10, "evil\x1b[2J", 0});
  counter.add({mutex(1, 10)});
  Exposure exposure = result(counter);
  exposure.facts.program = "/tmp/\x1b[31mred";
  CHECK(exposure_text(exposure, {}).find('\x1b') == std::string::npos);
}

TEST_CASE("exposure: the JSON has the fields of its schema in order") {
  ExposureCounter counter;
  counter.add({mutex(1, 10, 70)});
  const auto json = nlohmann::ordered_json::parse(exposure_json(result(counter)));
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"schema", "process", "end", "seconds", "mean_interval",
                                         "confidence", "any", "any_with_semaphores", "locks",
                                         "torn", "lost", "uncounted", "dropped_locks",
                                         "sampler_cpu_seconds"});
  CHECK(json.at("end").is_null());
  CHECK(json.at("any").at("effective_looks").get<double>() <= 1);
  CHECK(json.at("locks").front().at("lock").at("address") == "0x1");
  CHECK(json.at("locks").front().at("holders").front().at("name").is_null());
}

TEST_CASE("exposure: a table of one lock, as it is printed") {
  ExposureCounter counter;
  counter.thread({10, "row-reader", 500});
  for (int i = 0; i < 1000; ++i) {
    if (i % 10 == 0)
      counter.add({mutex(1, 10, 70)});
    else
      counter.add({});
  }
  counter.site(1, 70, {{70, 80, 90, 100}, true});
  CHECK(exposure_text(result(counter), {}) ==
        "process 4711 (server), 3 threads: 1000 looks in 1.0 s, worth 1000 independent ones\n"
        "A fork at a random moment would orphan at least one lock: 10.0 % (8.29 to 12.0 %), one in "
        "10.\n"
        "\n"
        "    share  95 %              lock\n"
        "   10.0 %  8.29 to 12.0 %    mutex lock_1\n"
        "           held by thread 10 (row-reader), start routine at_500\n"
        "           taken at\n"
        "             #0  at_70  rows.cpp:70\n"
        "             #1  at_80  rows.cpp:80\n"
        "             #2  at_90  rows.cpp:90\n");
}
