// /proc/PID/stat and /proc/PID/status as kernels write them. The texts were captured on Linux 6.18.
#include <catch2/catch.hpp>
#include <string>

#include "detector/inspect/proc_text.hpp"

using namespace forkscope;

namespace {

// A program that calls itself ") S 1 (": prctl(2) forbids no byte but NUL.
const std::string kNamedLikeFields =
    "5188 (a) R 1 (b\nc ) S 5147 5141 30511 0 -1 4194368 278 0 0 0 7 5 0 0 20 0 1 0 2682897 "
    "18604032 "
    "2830 18446744073709551615 94590724825088 94590724825429 140729202512800 0 0 0 0 16781312 2 1 "
    "0 0 "
    "17 0 0 0 0 0 0 94590724836784 94590724837400 94591446646784 140729202514134 140729202514182 "
    "140729202514182 140729202515919 0\n";
const std::string kZombie =
    "5190 (python3) Z 5147 5141 30511 0 -1 4227148 227 0 0 0 0 0 0 0 20 0 1 0 2682917 0 0 "
    "18446744073709551615 0 0 0 0 0 0 0 16781312 2 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 768\n";
const std::string kKernelWorker =
    "3 (pool_workqueue_release) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 30 0 0 "
    "18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
// Nice values are negative, and so is the terminal's process group without a terminal.
const std::string kNegativeFields =
    "4 (kworker/R-rcu_gp) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 0 -20 1 0 30 0 0 "
    "18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
const std::string kFirstProcess =
    "1 (systemd) S 0 0 0 0 -1 4194560 204570 1162707341 69 47635 1640 11232 2626309 798000 20 0 12 "
    "0 "
    "30 46067712 4235 18446744073709551615 1 1 0 0 0 0 0 4096 1088 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 "
    "0 0 "
    "0\n";

// The leader of a PID namespace, seen from the one around it.
const std::string kNamespaceStatus =
    "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t5239\nNgid:\t0\nPid:\t5239\n"
    "PPid:\t5237\nTracerPid:\t0\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t256\nGroups:\t \n"
    "NStgid:\t5239\t1\nNSpid:\t5239\t1\nNSpgid:\t5141\t0\nNSsid:\t30511\t0\nKthread:\t0\n"
    "VmPeak:\t    2920 kB\nThreads:\t1\nSigQ:\t0/96343\nSigPnd:\t0000000000000000\n"
    "SigIgn:\t0000000000000006\nSigCgt:\t0000000180014a02\nCapBnd:\t000001ffffffffff\n"
    "Cpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t41\nnonvoluntary_ctxt_switches:\t3\n";
// Here the kernel escapes what it does not in stat.
const std::string kEscapedStatus =
    "Name:\ta) R 1 (b\\nc \nState:\tt (tracing stop)\nTgid:\t5188\nPid:\t5188\nPPid:\t5147\n"
    "TracerPid:\t5147\nUid:\t0\t0\t0\t0\nNSpid:\t5188\nSigCgt:\t0000000000000002\n"
    "voluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t0\n";

}  // namespace

TEST_CASE("stat: a name with blanks, parentheses and a newline ends at the last parenthesis",
          "[proc_text]") {
  const auto stat = parse_stat(kNamedLikeFields);
  REQUIRE(stat);
  CHECK(stat->id == 5188);
  CHECK(stat->name == "a) R 1 (b\nc ");
  CHECK(stat->state == 'S');
  CHECK(stat->parent == 5147);
  CHECK((stat->flags & kForkedNoExec) != 0);
  CHECK((stat->flags & kKernelThread) == 0);
  CHECK(stat->cpu_ticks == 12);
  CHECK(stat->threads == 1);
  CHECK(stat->start == 2682897);
}

TEST_CASE("stat: zombies, kernel threads and the first process", "[proc_text]") {
  const auto zombie = parse_stat(kZombie);
  REQUIRE(zombie);
  CHECK(zombie->state == 'Z');
  CHECK(zombie->parent == 5147);
  CHECK(zombie->start == 2682917);

  const auto worker = parse_stat(kKernelWorker);
  REQUIRE(worker);
  CHECK(worker->name == "pool_workqueue_release");
  CHECK(worker->parent == 2);
  CHECK((worker->flags & kKernelThread) != 0);

  const auto negative = parse_stat(kNegativeFields);
  REQUIRE(negative);
  CHECK(negative->state == 'I');
  CHECK(negative->threads == 1);
  CHECK(negative->start == 30);

  const auto first = parse_stat(kFirstProcess);
  REQUIRE(first);
  CHECK(first->parent == 0);
  CHECK((first->flags & kForkedNoExec) == 0);
  CHECK(first->cpu_ticks == 1640 + 11232);
  CHECK(first->threads == 12);
}

TEST_CASE("stat: an empty name is one", "[proc_text]") {
  std::string text = kKernelWorker;
  text.replace(3, std::string("pool_workqueue_release").size(), "");
  const auto stat = parse_stat(text);
  REQUIRE(stat);
  CHECK(stat->name.empty());
  CHECK(stat->start == 30);
}

TEST_CASE("stat: a text cut off before its last field that is used gives nothing", "[proc_text]") {
  const std::string start = "2682897";
  const std::size_t enough = kNamedLikeFields.find(start) + start.size();
  for (std::size_t size = 0; size < enough - start.size() + 1; ++size) {
    INFO(kNamedLikeFields.substr(0, size));
    CHECK_FALSE(parse_stat(std::string_view(kNamedLikeFields).substr(0, size)));
  }
  CHECK(parse_stat(std::string_view(kNamedLikeFields).substr(0, enough)));
}

TEST_CASE("stat: what is no number where one belongs gives nothing", "[proc_text]") {
  CHECK_FALSE(parse_stat(""));
  CHECK_FALSE(parse_stat("4711"));
  CHECK_FALSE(parse_stat("4711 )name( S 1"));
  CHECK_FALSE(parse_stat("x (name) S 1 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 30"));
  CHECK_FALSE(parse_stat("4711 (name) SS 1 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 30"));
  CHECK_FALSE(parse_stat("4711 (name) S 1x 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 30"));
  CHECK_FALSE(parse_stat("4711 (name) S 1 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 -30"));
  CHECK_FALSE(
      parse_stat("4711 (name) S 1 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 "
                 "99999999999999999999"));
  CHECK(parse_stat("4711 (name) S 1 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 30"));
}

TEST_CASE("status: both ids of a process in a PID namespace, ours first", "[proc_text]") {
  const auto status = parse_status(kNamespaceStatus);
  REQUIRE(status);
  CHECK(status->ids == std::vector<std::int32_t>{5239, 1});
  CHECK(status->tracer == 0);
  CHECK(status->uid == 1000);
  CHECK(status->caught == 0x180014a02);
  CHECK(status->has_switches);
  CHECK(status->switches == 44);
}

TEST_CASE("status: a debugger is known by its PID, a name holds no newline", "[proc_text]") {
  const auto status = parse_status(kEscapedStatus);
  REQUIRE(status);
  CHECK(status->tracer == 5147);
  CHECK(status->ids == std::vector<std::int32_t>{5188});
  CHECK(status->caught == 2);
  CHECK(status->switches == 1);
}

TEST_CASE("status: without the counters of context switches nothing is said of them",
          "[proc_text]") {
  const auto status =
      parse_status(kNamespaceStatus.substr(0, kNamespaceStatus.find("voluntary_ctxt")));
  REQUIRE(status);
  CHECK_FALSE(status->has_switches);
  // A text that ends amid a number could be a smaller one; the key with no number is none.
  CHECK_FALSE(parse_status("Name:\tx\nvoluntary_ctxt_switches:\t\n")->has_switches);
}

TEST_CASE("status: what is no status gives nothing", "[proc_text]") {
  CHECK_FALSE(parse_status(""));
  CHECK_FALSE(parse_status("\n\n\n"));
  CHECK_FALSE(parse_status("no colon here"));
}
