// Descriptors that parent and child share: which uses are a finding, and which are not.
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using record::DescriptorCall;
using record::DescriptorType;
using record::SharedDescriptor;

namespace {

constexpr std::size_t kPuts = std::size_t(record::DescriptorUse::puts);
constexpr bool kChild = true, kParent = false;

SharedDescriptor of_type(DescriptorType type) {
  SharedDescriptor one{};
  one.descriptor = 7;
  one.type = type;
  one.readable = one.writable = 1;
  one.traits = record::kConnected | record::kNoSemaphore;
  one.device = 12;
  one.inode = 3456;
  return one;
}

SharedDescriptor used(SharedDescriptor one, bool child, DescriptorCall call) {
  const auto use = std::size_t(record::kDescriptorCalls[std::size_t(call)].use);
  (child ? one.child : one.parent)[use] = {child ? kReadRowGroup : kReadAll, std::uint32_t(call),
                                           child ? 200 : 101};
  return one;
}

SharedDescriptor by_both(DescriptorType type, DescriptorCall call) {
  return used(used(of_type(type), kChild, call), kParent, call);
}

SharedDescriptor kept(DescriptorType type, record::DescriptorKept how = record::kKeptBoth) {
  SharedDescriptor one = of_type(type);
  one.kept = how;
  return one;
}

SharedDescriptor write_end(SharedDescriptor one) {
  one.readable = 0;
  return one;
}

void share(Story& story, std::uint64_t fork, std::int32_t child, const SharedDescriptor& one) {
  story.forked(fork, child, {});
  story.arena.as(child, child).shared_descriptors({fork, 100, child, 0, 0}, {one});
  story.arena.as(100, 101).child_status(child, 0);
}

std::vector<Finding> told(const SharedDescriptor& one) {
  Story story;
  share(story, 1, 200, one);
  return story.judged().findings;
}

Finding only(const std::vector<Finding>& findings) {
  REQUIRE(findings.size() == 1);
  return findings[0];
}

}  // namespace

TEST_CASE("parent and child that write to one connection are a hazard with both places",
          "[judge][descriptors]") {
  const Finding f = only(told(by_both(DescriptorType::kStream, DescriptorCall::send)));
  CHECK(f.kind == "shared-descriptor");
  CHECK(f.severity == "hazard");
  CHECK(f.evidence == "both-use");
  CHECK(f.verdict == "writes to the same stream socket as its parent (descriptor 7)");
  CHECK(f.process == 200);
  CHECK(f.lock.descriptor == 7);
  CHECK(f.lock.type == "stream socket");
  CHECK(f.waiter.call == "send");
  CHECK(f.waiter.tid == 200);
  REQUIRE(f.waiter.stack.size() > 0);
  CHECK(f.waiter.stack.back().function == "read_row_group");
  CHECK(f.holder.tid == 101);
  REQUIRE(f.holder.acquired.size() > 0);
  CHECK(f.holder.acquired.back().function == "read_all");
  CHECK_THAT(f.explanation, Contains("process 200 and process 100 have used it since"));
  CHECK_THAT(f.cure, Contains("Connect after the fork"));
}

TEST_CASE("what both take from is a hazard for every type that loses by it",
          "[judge][descriptors]") {
  const auto type =
      GENERATE(DescriptorType::kStream, DescriptorType::kMessages, DescriptorType::kPipe,
               DescriptorType::kEpoll, DescriptorType::kInotify, DescriptorType::kEventfd);
  const Finding f = only(told(by_both(type, DescriptorCall::read)));
  CHECK(f.severity == "hazard");
  CHECK_FALSE(f.explanation.empty());
  CHECK_FALSE(f.cure.empty());
}

TEST_CASE("two writers of one pipe are a note, as whole messages stay whole",
          "[judge][descriptors]") {
  const Finding f = only(told(write_end(by_both(DescriptorType::kPipe, DescriptorCall::write))));
  CHECK(f.severity == "note");
  CHECK(f.evidence == "both-use");
  CHECK_THAT(f.explanation, Contains("PIPE_BUF"));
}

TEST_CASE("an eventfd that is a semaphore is nobody's mistake, one that may be is a note",
          "[judge][descriptors]") {
  SharedDescriptor counter = by_both(DescriptorType::kEventfd, DescriptorCall::eventfd_read);
  counter.traits = record::kSemaphore;
  CHECK(told(counter).empty());
  counter.traits = 0;
  CHECK(only(told(counter)).severity == "note");
}

TEST_CASE("what many processes may do with one descriptor is no finding", "[judge][descriptors]") {
  CHECK(told(by_both(DescriptorType::kListener, DescriptorCall::accept)).empty());
  CHECK(told(by_both(DescriptorType::kMessages, DescriptorCall::send)).empty());
  CHECK(told(by_both(DescriptorType::kEventfd, DescriptorCall::write)).empty());
  SharedDescriptor unconnected = by_both(DescriptorType::kMessages, DescriptorCall::recvfrom);
  unconnected.traits = 0;
  CHECK(told(unconnected).empty());
  // One asks, the other reads: a request is handed over, or an eventfd wakes.
  const auto type = GENERATE(DescriptorType::kStream, DescriptorType::kEventfd);
  CHECK(
      told(used(used(of_type(type), kChild, DescriptorCall::write), kParent, DescriptorCall::read))
          .empty());
}

TEST_CASE("what one process alone uses is no finding", "[judge][descriptors]") {
  CHECK(told(used(of_type(DescriptorType::kStream), kParent, DescriptorCall::send)).empty());
  SharedDescriptor childs = used(kept(DescriptorType::kStream), kChild, DescriptorCall::send);
  CHECK(told(childs).empty());
}

TEST_CASE("two children that ask and read on one connection are told, one that does is not",
          "[judge][descriptors]") {
  SharedDescriptor talks = used(of_type(DescriptorType::kStream), kChild, DescriptorCall::send);
  talks = used(talks, kChild, DescriptorCall::recv);
  CHECK(told(talks).empty());
  Story story;
  share(story, 1, 200, talks);
  share(story, 2, 201, talks);
  const Finding f = only(story.judged().findings);
  CHECK(f.severity == "hazard");
  CHECK(f.evidence == "siblings-use");
  CHECK(f.count == 2);
  CHECK_THAT(f.verdict, Contains("talks on the same stream socket as process 201"));

  Story readers;  // of jobs, each by one of them: that is what a queue is
  for (std::int32_t child : {200, 201})
    share(readers, std::uint64_t(child), child,
          used(of_type(DescriptorType::kStream), kChild, DescriptorCall::recv));
  CHECK(readers.judged().findings.empty());
}

TEST_CASE("a write end that the child kept and its parent has, too, is a note",
          "[judge][descriptors]") {
  const Finding f = only(told(write_end(kept(DescriptorType::kPipe))));
  CHECK(f.severity == "note");
  CHECK(f.evidence == "kept-open");
  CHECK(f.verdict ==
        "kept the write end of a pipe it inherited open to its end, unused (descriptor 7)");
  CHECK(f.waiter.tid == 0);
  CHECK_THAT(f.explanation, Contains("its parent had it open, too") &&
                                Contains("sees its end only when every copy"));
}

TEST_CASE("a write end that the child has for itself is its own matter, unless others wrote to it",
          "[judge][descriptors]") {
  const SharedDescriptor alone = write_end(kept(DescriptorType::kPipe, record::kKeptAlone));
  CHECK(told(alone).empty());
  CHECK(only(told(used(alone, kParent, DescriptorCall::write))).severity == "note");

  Story story;  // a sibling writes to it
  share(story, 1, 200, alone);
  share(story, 2, 201,
        used(write_end(of_type(DescriptorType::kPipe)), kChild, DescriptorCall::write));
  const Finding f = only(story.judged().findings);
  CHECK(f.process == 200);
  CHECK_THAT(f.explanation, Contains("process 201 has used it meanwhile"));
}

TEST_CASE("a read end that was kept keeps nobody waiting", "[judge][descriptors]") {
  SharedDescriptor end = kept(DescriptorType::kPipe);
  end.writable = 0;
  CHECK(told(end).empty());
}

TEST_CASE("a child that executed another program is not told of", "[judge][descriptors]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.as(200, 200).shared_descriptors(
      {1, 100, 200, 0, 0}, {by_both(DescriptorType::kStream, DescriptorCall::send)});
  story.arena.exec("/bin/true");
  CHECK(story.judged().findings.empty());
}

TEST_CASE("of Python the cure is in its words", "[judge][descriptors]") {
  Story story("/usr/bin/python3.11");
  share(story, 1, 200, by_both(DescriptorType::kStream, DescriptorCall::send));
  CHECK_THAT(only(story.judged().findings).cure, Contains("os.register_at_fork"));
}

TEST_CASE("a record whose words make no sense is skipped", "[session][descriptors]") {
  SharedDescriptor one = of_type(DescriptorType::kPipe);
  const auto damage = GENERATE(0, 1, 2, 3);
  if (damage == 0) one.type = record::kLastDescriptorType;
  if (damage == 1) one.type = DescriptorType(std::uint8_t(record::kLastDescriptorType) + 1);
  if (damage == 2) one.kept = record::kKeptAlone + 1;
  if (damage == 3) one.parent[kPuts].call = record::kDescriptorCallCount;
  Story story;
  story.forked(1, 200, {});
  story.arena.shared_descriptors({1, 100, 200, 0, 0}, {one});
  CHECK(story.arena.session().shared_descriptors.size() == (damage == 0 ? 1 : 0));
}
