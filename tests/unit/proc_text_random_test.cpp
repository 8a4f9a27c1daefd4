// The parsers of /proc on bytes nobody promised: cut, changed and random. Nothing to expect but
// that they come back, and that what they give is whole.
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "detector/inspect/proc_text.hpp"

using namespace forkscope;

namespace {

constexpr int kTexts = 20'000;

void parse_all(std::string_view text) {
  if (const auto stat = parse_stat(text)) {
    REQUIRE(text.find('(' + stat->name + ')') != std::string_view::npos);
    REQUIRE(text.find(stat->state) != std::string_view::npos);
  }
  if (const auto status = parse_status(text)) {
    REQUIRE(text.find(':') != std::string_view::npos);
    REQUIRE(status->ids.size() <= text.size());
  }
  if (const auto call = parse_syscall(text)) {
    if (call->running) REQUIRE(text.find("running") != std::string_view::npos);
  }
  for (const Mapping& mapping : parse_maps(text)) {
    REQUIRE(mapping.start < mapping.end);
    REQUIRE(text.find(mapping.path) != std::string_view::npos);
    REQUIRE(mapping.path.find('\n') == std::string::npos);
  }
}

const std::string kSeeds[] = {
    "5188 (a) R 1 (b\nc ) S 5147 5141 30511 0 -1 4194368 278 0 0 0 7 5 0 0 20 0 1 0 2682897 1860\n",
    "Name:\tsleep\nState:\tS (sleeping)\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nNSpid:\t5239\t1\n"
    "SigCgt:\t0000000180014a02\nvoluntary_ctxt_switches:\t41\nnonvoluntary_ctxt_switches:\t3\n",
    "202 0x7fa759416c34 0x189 0x0 0x0 0x0 0xffffffff 0x7fa758dfec10 0x7fa7620a3f16\n",
    "running\n",
    "-1 0x7fff35402e80 0x55ec8cb0b270\n",
    "7fdb7a81e000-7fdb7a844000 r--p 00000000 fe:00 326269      /usr/lib/libc.so.6 (deleted)\n"
    "7fdb7afdb000-7fdb7afdc000 rw-s 00000000 00:00 0 \n",
};

}  // namespace

TEST_CASE("random bytes crash no parser of /proc", "[proc_text][random]") {
  std::mt19937 random(20240607);
  for (int i = 0; i < kTexts; ++i) {
    std::string text(random() % 200, '\0');
    // Half of them of the characters such texts are made of.
    for (char& c : text)
      c = i % 2 == 0 ? char(random()) : "0123456789abcdefx-: ()\t\nrwsp"[random() % 28];
    INFO(i);
    parse_all(text);
  }
}

TEST_CASE("texts of /proc with bytes changed, lost and doubled crash no parser",
          "[proc_text][random]") {
  std::mt19937 random(19700101);
  for (int i = 0; i < kTexts; ++i) {
    std::string text = kSeeds[random() % std::size(kSeeds)];
    for (auto changes = random() % 4; changes-- > 0 && !text.empty();) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = char(random());
          break;
        case 1:
          text.erase(at, random() % 9);
          break;
        case 2:
          text.insert(at, text, at, random() % 9);
          break;
        default:
          text.resize(at);
      }
    }
    INFO(i);
    parse_all(text);
  }
}
