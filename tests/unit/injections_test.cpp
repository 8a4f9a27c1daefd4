// What was injected: from records to the report, its text and its JSON.
#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>

#include "detector/record/unsafe_calls.hpp"
#include "detector/report/print.hpp"
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using nlohmann::json;

namespace {

void injected(Story& story, InjectAction action, InjectResult result, const std::string& spec,
              const std::function<void(record::Injected&)>& change = {}) {
  record::Injected one{};
  one.seed = 7;
  one.action = action;
  one.result = result;
  one.text_length = std::uint32_t(spec.size());
  one.frames = 2;
  one.stack[0] = kWrapper;
  one.stack[1] = kWorker;
  if (change) change(one);
  story.arena.as(100, 101).add(record::Type::kInjected,
                               {std::as_bytes(std::span(&one, 1)), std::as_bytes(std::span(spec))});
}

Story forced_and_failed() {
  Story story;
  for (int i = 0; i < 2; ++i)
    injected(story, InjectAction::kForkWhileHeld, InjectResult::kForced, "fork:while-held",
             [](record::Injected& one) {
               one.fork = 3;
               one.lock = kLock;
               one.lock_type = record::LockType::kMutexNormal;
               one.holder = 102;
               one.caller = kReadRowGroup;
             });
  injected(story, InjectAction::kForkFail, InjectResult::kFailed, "fork:fail=EAGAIN,nth=3",
           [](record::Injected& one) { one.error = EAGAIN; });
  injected(story, InjectAction::kForkWhileIn, InjectResult::kInside, "fork:while-in,function=set*",
           [](record::Injected& one) { one.function = std::uint8_t(record::UnsafeCall::setenv); });
  return story;
}

}  // namespace

TEST_CASE("injections: records become entries of the report, with names", "[inject]") {
  Story story = forced_and_failed();
  const Report report = story.judged();
  CHECK(report.seed == std::optional<std::uint64_t>(7));
  REQUIRE(report.injected.size() == 4);
  const InjectedReport& forced = report.injected[0];
  CHECK(forced.spec == "fork:while-held");
  CHECK(forced.point == "fork");
  CHECK(forced.action == "while-held");
  CHECK(forced.result == "forced");
  CHECK(forced.fork == 3);
  REQUIRE(forced.lock);
  CHECK(forced.lock->symbol == "orders.file_lock");
  CHECK(forced.lock->type == "mutex");
  CHECK(forced.holder == 102);
  REQUIRE(forced.caller);
  CHECK(forced.caller->function == "read_row_group");
  REQUIRE(forced.stack.size() == 1);  // without the interposer's own frame
  CHECK(forced.stack[0].function == "worker");
  CHECK(report.injected[2].error == "EAGAIN");
  CHECK_FALSE(report.injected[2].lock);
  CHECK(report.injected[3].function == "setenv");
}

TEST_CASE("injections: one line for each in the text, also for what never came", "[inject]") {
  Story story = forced_and_failed();
  RunFacts facts;
  facts.seed = 7;
  facts.inject = {"vfork:fail=ENOMEM", "fork:fail=EAGAIN,nth=3"};
  Report report = story.judged(facts);
  CHECK(injections_text(report, {}) ==
        "forkscope: injected with --seed=7\n"
        "  vfork:fail=ENOMEM: no such call was made\n"
        "  fork:fail=EAGAIN,nth=3: failed-as-asked once (EAGAIN)\n"
        "  fork:while-held: forced 2 times (mutex orders.file_lock)\n"
        "  fork:while-in,function=set*: inside once (setenv())\n");
  report.summary.injected = 10;
  CHECK(injections_text(report, {}).find("  and 6 more that were only counted\n") !=
        std::string::npos);
  CHECK(injections_text(Report{}, {}).empty());
}

TEST_CASE("injections: the JSON has every field, and null for what is not known", "[inject]") {
  Story story = forced_and_failed();
  const json document = json::parse(report_json(story.judged()));
  CHECK(document["seed"] == 7);
  const json& forced = document["injected"][0];
  CHECK(forced["lock"]["symbol"] == "orders.file_lock");
  CHECK(forced["errno"].is_null());
  CHECK(forced["function"].is_null());
  CHECK(forced["fork"] == 3);
  const json& failed = document["injected"][2];
  CHECK(failed["lock"].is_null());
  CHECK(failed["holder"].is_null());
  CHECK(failed["fork"].is_null());
  CHECK(failed["errno"] == "EAGAIN");
  for (const char* field :
       {"spec", "point", "action", "pid", "tid", "time", "result", "caller", "stack"})
    CHECK(failed.contains(field));
  CHECK(json::parse(report_json(Report{}))["seed"].is_null());
}

TEST_CASE("injections: a damaged record is skipped", "[inject]") {
  Story story;
  const auto damaged = [&](const std::function<void(record::Injected&)>& change) {
    injected(story, InjectAction::kForkFail, InjectResult::kFailed, "x", change);
  };
  damaged([](record::Injected& one) { one.action = InjectAction(200); });
  damaged([](record::Injected& one) { one.result = InjectResult(200); });
  damaged([](record::Injected& one) { one.lock_type = record::LockType(200); });
  damaged([](record::Injected& one) { one.function = 255; });
  damaged([](record::Injected& one) { one.frames = record::kMaxFrames + 1; });
  damaged([](record::Injected& one) { one.text_length = 1000; });
  CHECK(story.arena.session().injected.empty());
  damaged({});
  CHECK(story.arena.session().injected.size() == 1);
}
