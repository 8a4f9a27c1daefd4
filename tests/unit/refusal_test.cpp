// Why a process cannot be looked at, from facts written by hand: each sentence names what is so.
#include "detector/inspect/refusal.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace forkscope;
using Catch::Contains;

namespace {

constexpr std::uint64_t kMayTrace = std::uint64_t{1} << 19;  // CAP_SYS_PTRACE

AccessFacts root(std::uint64_t capabilities) {
  AccessFacts facts;
  facts.capabilities = capabilities;
  return facts;
}

AccessFacts user() {
  AccessFacts facts;
  facts.euid = 1000;
  return facts;
}

Missing refused(const AccessFacts& facts, int error = EPERM) {
  return refusal(4711, "its memory cannot be read", error, facts);
}

}  // namespace

TEST_CASE("root without the capability is told so, with CapEff, and in a container how to get it",
          "[refusal]") {
  AccessFacts facts = root(0xa80425fb);
  CHECK_THAT(refused(facts).why, Contains("without the capability CAP_SYS_PTRACE") &&
                                     Contains("CapEff 00000000a80425fb") && !Contains("docker"));
  facts.container = true;
  CHECK_THAT(refused(facts).why, Contains("--cap-add=SYS_PTRACE"));
  CHECK(refused(facts).cure.empty());
}

TEST_CASE("who has the capability is never told that it is lacking", "[refusal]") {
  AccessFacts facts = root(kMayTrace);
  for (const bool container : {false, true}) {
    facts.container = container;
    CHECK_THAT(refused(facts).why, !Contains("without the capability") && !Contains("cap-add"));
  }
  AccessFacts yama = facts;
  yama.yama = 3;
  CHECK_THAT(refused(yama).why, Contains("ptrace_scope is 3"));
  AccessFacts rootless = facts;
  rootless.own_user_namespace = true;
  CHECK_THAT(refused(rootless).why, Contains("own user namespace"));
  AccessFacts profile = facts;
  profile.label = "docker-default (enforce)";
  CHECK_THAT(refused(profile).why, Contains("\"docker-default (enforce)\""));
  AccessFacts filtered = facts;
  filtered.filtered = true;
  CHECK_THAT(refused(filtered).why, Contains("seccomp"));
}

TEST_CASE("a user is told what sudo helps with, and when nothing does", "[refusal]") {
  AccessFacts facts = user();
  facts.other_user = true;
  CHECK_THAT(refused(facts).why, Contains("another user"));
  CHECK(refused(facts).cure == "sudo forkscope attach 4711");
  facts.other_user = false;
  facts.yama = 1;
  CHECK_THAT(refused(facts).why, Contains("ptrace_scope is 1"));
  CHECK_FALSE(refused(facts).cure.empty());
  facts.yama = 3;
  CHECK(refused(facts).cure.empty());
  facts.yama = -1;
  CHECK_THAT(refused(facts).why, Contains("does not let itself be looked at"));
  CHECK_THAT(refused(facts).why, !Contains("CAP_SYS_PTRACE"));
}

TEST_CASE("a process that has ended is no question of rights", "[refusal]") {
  for (const int error : {ESRCH, ENOENT})
    CHECK_THAT(refused(root(0), error).why, Contains("ended"));
  CHECK_THAT(refused(root(0), 0).why, !Contains("Success"));
}
