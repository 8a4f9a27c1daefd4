// What `attach` prints: children that hang first, threads that do the same together, and the user's
// own Python frames whatever stands around them.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "detector/report/layout.hpp"
#include "detector/report/print_diagnosis.hpp"

using namespace forkscope;
using Catch::Contains;

namespace {

constexpr std::int32_t kParent = 100;

Diagnosis hung(std::int32_t pid, const std::string& fingerprint,
               Answer answer = Answer::kDeadlock) {
  Diagnosis child;
  child.pid = pid;
  child.parent = kParent;
  child.program = "server";
  child.answer = answer;
  child.sentence = "is deadlocked by a fork: waits for mutex lock of " + std::to_string(pid);
  child.finding.emplace();
  child.finding->kind = "orphaned-lock";
  child.finding->process = pid;
  child.finding->program = "server";
  child.finding->severity = answer == Answer::kDeadlock ? "deadlock" : "hazard";
  child.finding->fingerprint = fingerprint;
  child.finding->cure = "Use posix_spawn().";
  return child;
}

Diagnosis waiting() {
  Diagnosis parent;
  parent.pid = kParent;
  parent.program = "server";
  parent.answer = Answer::kWaiting;
  parent.sentence = "waits normally: thread 100 waits for a child";
  return parent;
}

ThreadDiagnosis idle(std::int32_t tid) {
  ThreadDiagnosis thread;
  thread.tid = tid;
  thread.name = "idle";
  thread.does = "waits on condition variable queue";
  thread.stack_complete = true;
  Frame frame;
  frame.address = 0x1234;
  frame.function = "Pool::wait";
  thread.stack = {frame};
  return thread;
}

std::string text_of(const Diagnosis& diagnosis, bool verbose = false) {
  TextOptions options;
  options.verbose = options.everything = verbose;
  return diagnosis_text(diagnosis, options);
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

constexpr const char* kOne = "v1-0000000000000001";
constexpr const char* kOther = "v1-0000000000000002";

}  // namespace

TEST_CASE("a parent's headline is its children; those alike are told once", "[print][diagnosis]") {
  Diagnosis parent = waiting();
  parent.hung_children = {hung(101, kOne), hung(102, kOther), hung(103, kOne)};
  parent.threads = {idle(100)};
  CHECK(whole_answer(parent) == Answer::kDeadlock);
  const std::string text = text_of(parent);
  CHECK(text.starts_with("forkscope: process 100 (server) has 3 children that are deadlocked by a "
                         "fork: processes 101, 102 and 103\n"
                         "  server (pid 101) hangs: "));
  CHECK_THAT(text, Contains("  the same holds of\n    process 103\n") &&
                       Contains("  server (pid 102) hangs: ") &&
                       Contains("  process 100 itself\n    waits normally: ") &&
                       !Contains("Pool::wait"));
  CHECK(count(text, "Use posix_spawn().") == 2);
  CHECK_THAT(text_of(parent, true), Contains("Pool::wait"));
}

TEST_CASE("children without a fingerprint of their own are alike by where they hang",
          "[print][diagnosis]") {
  Diagnosis parent = waiting();
  parent.hung_children = {hung(101, "unidentified"), hung(102, "unidentified"),
                          hung(103, "unidentified")};
  parent.hung_children[2].finding->lock.address = 0x5000;
  const auto groups = alike_children(parent);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].size() == 2);
}

TEST_CASE("proven and probable children are counted apart, grandchildren are called otherwise",
          "[print][diagnosis]") {
  Diagnosis parent = waiting();
  parent.hung_children = {hung(101, kOne, Answer::kProbable)};
  CHECK(whole_answer(parent) == Answer::kProbable);
  CHECK(whole_sentence(parent) == "has a child that is probably deadlocked by a fork: process 101");
  parent.hung_children.push_back(hung(102, kOther));
  parent.hung_children.back().parent = 101;
  CHECK(whole_sentence(parent) ==
        "has a descendant that is deadlocked by a fork: process 102; and a child that is probably "
        "deadlocked by a fork: process 101");
}

TEST_CASE("in JSON the answer is the one of the exit status", "[print][diagnosis]") {
  Diagnosis parent = waiting();
  parent.hung_children = {hung(101, kOne), hung(102, kOne)};
  const auto json = nlohmann::json::parse(diagnosis_json(parent, {}));
  CHECK(json.at("answer") == "deadlock");
  CHECK(json.at("sentence") == whole_sentence(parent));
  CHECK(json.at("itself").at("answer") == "waiting");
  CHECK(json.at("finding").at("process") == 101);
  CHECK(json.at("hung_children")[1].at("like") == 101);
  CHECK(json.at("hung_children")[1].at("diagnosis").is_null());
  const auto alone = nlohmann::json::parse(diagnosis_json(waiting(), {}));
  CHECK(alone.at("answer") == "waiting");
  CHECK(alone.at("finding").is_null());
}

TEST_CASE("threads that do the same at one place are one entry", "[print][diagnosis]") {
  Diagnosis pool = waiting();
  for (std::int32_t tid = 101; tid <= 164; ++tid) pool.threads.push_back(idle(tid));
  ThreadDiagnosis other = idle(165);
  other.does = "reads a pipe";
  pool.threads.push_back(other);
  const std::string text = text_of(pool);
  CHECK(count(text, "Pool::wait") == 2);
  CHECK_THAT(text, Contains("and 63 more threads do the same here, the last is thread 164 (idle)"));
  CHECK_THAT(text, Contains("reads a pipe") && !Contains("more threads (see"));
  CHECK(count(text_of(pool, true), "Pool::wait") == 65);
}

TEST_CASE("who was asked to stop the threads is not told to do so", "[print][diagnosis]") {
  Diagnosis process = waiting();
  process.threads = {idle(100)};
  process.threads.front().stack_complete = false;
  CHECK_THAT(text_of(process), Contains("--stacks"));
  process.stopped = true;
  CHECK_THAT(text_of(process), !Contains("--stacks") && Contains("is not known"));
}

namespace {

constexpr const char* kThreading = "/usr/lib/python3.11/threading.py";
constexpr const char* kInstalled = "/home/u/venv/lib/python3.11/site-packages/torch/loader.py";

std::vector<PythonFrame> frames(std::size_t count, const std::string& file) {
  std::vector<PythonFrame> stack;
  for (std::size_t i = 0; i < count; ++i) stack.push_back({"f" + std::to_string(i), file, int(i)});
  return stack;
}

std::vector<PythonFrame> operator+(std::vector<PythonFrame> a, const std::vector<PythonFrame>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("of a long Python stack the user's frames stay, the others are counted",
          "[print][python]") {
  const auto stack = frames(9, kInstalled) + frames(2, "/home/u/app/train.py") +
                     frames(4, kThreading) + frames(1, "/home/u/app/main.py") +
                     frames(3, "<frozen runpy>");
  const std::string text = python_lines(stack, 4, {});
  CHECK_THAT(text, Contains("py9 f0 train.py") && Contains("py10 f1 train.py:1") &&
                       Contains("py15 f0 main.py"));
  CHECK_THAT(text, Contains("... 2 frames of installed packages\n") &&
                       Contains("... 4 frames of the standard library\n") &&
                       Contains("... 3 frames of the standard library\n"));
  CHECK_THAT(text, Contains("py0 f0 loader.py"));  // the innermost are what waits
}

TEST_CASE("thirty frames of the user's own are all there, and recursion is one line",
          "[print][python]") {
  const std::string text = python_lines(frames(30, "/srv/app/deep.py"), 4, {});
  CHECK(count(text, "deep.py") == 30);
  CHECK_THAT(text, !Contains("..."));
  const std::vector<PythonFrame> recursion(900, PythonFrame{"walk", "/srv/app/tree.py", 12});
  const std::string folded = python_lines(recursion + frames(1, "/srv/app/tree.py"), 4, {});
  CHECK(count(folded, "\n") == 2);
  CHECK_THAT(folded, Contains("walk tree.py:12 [900 times]"));
}

TEST_CASE("a short Python stack is whole, and so is any with --verbose", "[print][python]") {
  CHECK(count(python_lines(frames(11, kThreading), 4, {}), "\n") == 11);
  TextOptions verbose;
  verbose.everything = true;
  CHECK(count(python_lines(frames(40, kThreading), 4, verbose), "\n") == 40);
  const std::string cut = python_lines(frames(40, kThreading), 4, {});
  CHECK(count(cut, "threading.py") == 10);
  CHECK_THAT(cut, Contains("... 30 frames of the standard library"));
}
