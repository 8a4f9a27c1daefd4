// One thread understood: its frames, who could wake it, which threads a fork left behind.
#include <catch2/catch.hpp>
#include <deque>

#include "detector/verdict/outside/thread_view.hpp"
#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

std::vector<Frame> stack(std::initializer_list<const char*> frames) {
  std::vector<Frame> result;
  for (const char* text : frames) result.push_back(frame(text));
  return result;
}

Reach reach(const Word& word) {
  Story story;
  story.child(Thread(kChild).waits(word));
  return view_threads(story.evidence).at(0).reach;
}

std::vector<std::int32_t> lost_tids(const Story& story) {
  std::vector<std::int32_t> tids;
  for (const ThreadEvidence* thread : lost_threads(story.evidence)) tids.push_back(thread->tid);
  return tids;
}

}  // namespace

TEST_CASE("the program's frame is the first that is nobody's library", "[thread_view]") {
  const auto frames =
      stack({"futex_wait@libc", "pthread_cond_wait@libc",
             "std::condition_variable::wait@/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
             "take_job@pool", "main@app"});
  REQUIRE(innermost_program_frame(frames) != nullptr);
  CHECK(innermost_program_frame(frames)->function == "take_job");
  CHECK(innermost_program_frame(stack({"syscall@libc", "start_thread@libc"})) == nullptr);
  CHECK(innermost_program_frame({}) == nullptr);
  // Code of no file, such as a compiler made at run time, is no module to compare.
  Frame nowhere;
  nowhere.address = 0x1234;
  CHECK(innermost_program_frame({nowhere}) == nullptr);
}

TEST_CASE("libc's function is the one the program called", "[thread_view]") {
  const auto frames = stack({"__lll_lock_wait_private@libc", "__tz_convert@libc",
                             "localtime_r@libc", "stamp@app", "start_thread@libc"});
  REQUIRE(called_libc_function(frames) != nullptr);
  CHECK(called_libc_function(frames)->function == "localtime_r");
  CHECK(called_libc_function(stack({"spin@app", "malloc@libc"})) == nullptr);
  auto unnamed = frames;
  unnamed[2].function.clear();
  CHECK(called_libc_function(unnamed)->function == "__tz_convert");
}

TEST_CASE("threads of a pool have a stem in common", "[thread_view]") {
  CHECK(name_stem("pool-worker-12") == "pool-worker-");
  CHECK(name_stem("pool-worker-7") == name_stem("pool-worker-12"));
  CHECK(name_stem("worker") == "worker");
  CHECK(name_stem("io2net") == "io2net");
  CHECK(name_stem("123") == "123");
  CHECK(name_stem("").empty());
}

TEST_CASE("who can end a futex wait", "[thread_view]") {
  CHECK(reach(unknown_word()) == Reach::kInside);
  CHECK(reach(unknown_word().for_a_time()) == Reach::kItself);
  CHECK(reach(unknown_word().without_private_flag()) == Reach::kInside);
  CHECK(reach(unknown_word().without_private_flag().at(kSharedWord)) == Reach::kOutside);
  CHECK(reach(unknown_word().without_private_flag().at(kSharedWord + 0xffc)) == Reach::kOutside);
  CHECK(reach(unknown_word().without_private_flag().at(kSharedWord + 0x1000)) == Reach::kOutside);
  CHECK(reach(pi_mutex(101)) == Reach::kOutside);
}

TEST_CASE("waits that are no futex end from outside or by themselves", "[thread_view]") {
  std::deque<Story> stories;  // a view points into the evidence of its story
  auto of = [&](const Thread& thread) {
    Story& story = stories.emplace_back();
    story.child(thread);
    return view_threads(story.evidence).at(0);
  };
  CHECK(of(Thread(kChild).in_call("read")).reach == Reach::kOutside);
  CHECK(of(Thread(kChild).in_call("clock_nanosleep")).reach == Reach::kItself);
  CHECK(of(Thread(kChild).runs()).reach == Reach::kItself);
  CHECK(of(Thread(kChild).unreadable()).reach == Reach::kOutside);
  CHECK_FALSE(of(Thread(kChild).in_call("read")).closed());
  CHECK(of(Thread(kChild).waits(condition())).closed());
  CHECK_FALSE(of(Thread(kChild).waits(condition()).unsettled()).closed());
  // One of several futexes: which words they are is not known, so who wakes is not either.
  ThreadView several = of(Thread(kChild).in_call("read"));
  CHECK(several.family == LockFamily::kUnknown);
}

TEST_CASE("lost are the parent's threads without the one that forked", "[thread_view]") {
  Story story;
  CHECK(forking_thread(story.evidence) == &story.evidence.ancestors[0].threads[0]);
  CHECK(lost_tids(story).empty());
  story.parent(Thread(101, "a")).parent(Thread(102, "b"));
  CHECK(forking_thread(story.evidence) == &story.evidence.ancestors[0].threads[0]);
  CHECK(lost_tids(story) == std::vector<std::int32_t>{101, 102});
  story.parent(Thread(103, "late").started(kForkTime + 1));
  CHECK(lost_tids(story) == std::vector<std::int32_t>{101, 102});
  // In the same clock tick as the child: it cannot be told, so it counts.
  story.parent(Thread(104, "then").started(kForkTime));
  CHECK(lost_tids(story) == std::vector<std::int32_t>{101, 102, 104});
}

TEST_CASE("when the forker cannot be told, one thread beside it is none", "[thread_view]") {
  Story story;
  story.parent(Thread(101, "a"));
  story.evidence.process.threads[0].call.reset();  // no stack pointer
  CHECK(forking_thread(story.evidence) == nullptr);
  CHECK(lost_tids(story).size() == 2);
  // The forker has ended since; the only thread left might be it.
  story.evidence.ancestors[0].threads.pop_back();
  CHECK(forking_thread(story.evidence) == nullptr);
  CHECK(lost_tids(story).empty());
}

TEST_CASE("the forker is known by its TID where the child's memory has it", "[thread_view]") {
  Story story;
  story.parent(Thread(101, "a"));
  story.evidence.forker_own_tid = 101;  // though the child is on the main thread's stack
  CHECK(forking_thread(story.evidence) == &story.evidence.ancestors[0].threads[1]);
  CHECK(lost_tids(story) == std::vector<std::int32_t>{kParent});
}

TEST_CASE("a child may forget whom it lost, when it used their stacks again", "[thread_view]") {
  Story story;
  story.parent(Thread(101, "a"));
  story.evidence.memory_knows_threads = true;
  CHECK(lost_tids(story) == std::vector<std::int32_t>{101});
  story.remembers("work@pool");
  CHECK(lost_tids(story) == std::vector<std::int32_t>{101});
}

TEST_CASE("within one tick of the clock the ids decide who is older", "[thread_view]") {
  Story story;
  story.parent(Thread(101, "a").started(kForkTime));
  story.parent(Thread(kChild + 1, "b").started(kForkTime));
  CHECK(lost_tids(story) == std::vector<std::int32_t>{101});
}

TEST_CASE("a forker that has ended since is not taken for another thread", "[thread_view]") {
  Story story;
  story.parent(Thread(101, "a")).parent(Thread(102, "b"));
  // The child runs on a stack of the parent where nobody is any more.
  const std::uint64_t stack_of_102 = story.evidence.ancestors[0].threads[2].call->sp;
  story.evidence.process.threads[0].call->sp = stack_of_102;
  story.evidence.ancestors[0].threads.pop_back();
  CHECK(forking_thread(story.evidence) == nullptr);
  CHECK(lost_tids(story) == std::vector<std::int32_t>{kParent, 101});
}

TEST_CASE("without the parent nobody is known to be lost", "[thread_view]") {
  Story story;
  story.parent(Thread(101, "a"));
  story.parent_gone();
  CHECK(forking_thread(story.evidence) == nullptr);
  CHECK(lost_tids(story).empty());
}
