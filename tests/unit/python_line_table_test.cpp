// Tables of lines as six versions of CPython compiled them, against what their own
// PyCode_Addr2Line says of every instruction.
//
//   winding: def f(a):            distant: def f(a):
//                x = max(a +                   <400 empty lines>
//                        1,                    a()
//                      int(                    <3000 empty lines>
//                 2))                          return a
//                try:
//                    a()
//                finally:
//                    x = 3
//                with x:
//                    pass
//                return x
#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "detector/inspect/python/line_table.hpp"

namespace {

using Form = forkscope::python::LineTableForm;
using forkscope::python::line_at;

/// `count` code units of two bytes, one after the other, on a line; 0: on none.
struct Run {
  int line, count;
};
struct Captured {
  const char* name;
  Form form;
  std::string_view table;
  std::vector<Run> runs;
};

const std::vector<Captured> kCaptured = {
    {"3.9, winding",
     Form::kIncrements,
     "0001040102ff0202020102ff02fe0404020108020c0106011e01",
     {{2, 2},
      {3, 1},
      {2, 1},
      {4, 1},
      {5, 1},
      {4, 1},
      {2, 2},
      {6, 1},
      {7, 4},
      {9, 6},
      {10, 3},
      {11, 15},
      {12, 2}}},
    {"3.9, distant",
     Form::kIncrements,
     "007f007f007f0014067f007f007f007f007f007f007f007f007f007f007f007f007f007f007f"
     "007f007f007f007f007f007f007f007f0050",
     {{402, 3}, {3403, 2}}},
    {"3.10, winding",
     Form::kRanges,
     "0401020102ff0202020102ff04fe020408010c02060102010aff040210fe0402",
     {{2, 2},
      {3, 1},
      {2, 1},
      {4, 1},
      {5, 1},
      {4, 1},
      {2, 2},
      {6, 1},
      {7, 4},
      {9, 6},
      {10, 3},
      {11, 1},
      {10, 5},
      {12, 2},
      {10, 8},
      {12, 2}}},
    {"3.10, distant",
     Form::kRanges,
     "007f007f007f0614007f007f007f007f007f007f007f007f007f007f007f007f007f007f007f"
     "007f007f007f007f007f007f007f007f0450",
     {{402, 3}, {3403, 2}}},
    {"3.11, winding",
     Form::kLocations,
     "8000dd080b8841d80c0df103010d0ee50a0dd80506f103010b08f400010b08f105030909f400"
     "0309098041f00803050ed80809880189038c038803e00c0d88018801f8884188018805880588"
     "058805d8090af00001050df00001050dd8080cf00301050df00001050df00001050df1000105"
     "0df40001050df00001050df00001050df00001050df00001050df00001050df00001050df8f8"
     "f8f00001050df00001050df00001050df00001050de00b0c8048",
     {{1, 1},
      {2, 7},
      {3, 1},
      {2, 2},
      {4, 6},
      {5, 1},
      {4, 7},
      {2, 8},
      {6, 1},
      {7, 10},
      {9, 3},
      {0, 1},
      {9, 6},
      {10, 3},
      {11, 1},
      {10, 16},
      {0, 3},
      {10, 4},
      {12, 2}}},
    {"3.11, distant",
     Form::kLocations,
     "8000f0620c0005068041814384438043f0725d01000c0d8048",
     {{1, 1}, {402, 10}, {3403, 2}}},
    {"3.12, winding",
     Form::kLocations,
     "8000dc080b8841d80c0df103010d0ee40a0dd80506f303010b08f3050309098041f00803050e"
     "d908098c03e00c0d8801d8090af10001050dd8080cf70301050de00b0c8048f8f007000d0e89"
     "01faf70201050de00b0c8048fa",
     {{1, 1},  {2, 6},  {3, 1},  {2, 2},  {4, 5}, {5, 1}, {4, 4}, {2, 5},  {6, 1},  {7, 7}, {9, 2},
      {10, 3}, {11, 1}, {10, 8}, {12, 2}, {0, 1}, {9, 3}, {0, 3}, {10, 8}, {12, 2}, {0, 3}}},
    {"3.12, distant",
     Form::kLocations,
     "8000f1620c0005068443f0725d01000c0d8048",
     {{1, 1}, {402, 7}, {3403, 2}}},
    {"3.13, winding",
     Form::kLocations,
     "8000dc080b8841d80c0df103010d0ee40a0dd80506f303010b08f3050309098041f00803050e"
     "d908098c03e00c0d8801da090ad8080cf703000a0be00b0c8048f8f007000d0e8901fadf090a"
     "8c11e00b0c8048fa",
     {{1, 1},  {2, 6},  {3, 1},  {2, 2},  {4, 5}, {5, 1}, {4, 4}, {2, 5},   {6, 1},  {7, 7}, {9, 2},
      {10, 3}, {11, 1}, {10, 8}, {12, 2}, {0, 1}, {9, 3}, {0, 3}, {10, 13}, {12, 2}, {0, 3}}},
    {"3.13, distant",
     Form::kLocations,
     "8000f1620c0005068443f0725d01000c0d8048",
     {{1, 1}, {402, 7}, {3403, 2}}},
    {"3.14, winding",
     Form::kLocations,
     "8000dc080b8841d80c0df503010d0ee40a0dd80506f303010b08f3050309098041f00803050e"
     "d908098c03e00c0d8801df090a8a11d8080cf703000a0be00b0c8048f8f007000d0e8901fadf"
     "090a8e11e00b0c8048fa",
     {{1, 1},  {2, 6}, {3, 1}, {2, 6}, {4, 5},   {5, 1},  {4, 4},
      {2, 5},  {6, 1}, {7, 7}, {9, 2}, {10, 11}, {11, 1}, {10, 8},
      {12, 2}, {0, 1}, {9, 3}, {0, 3}, {10, 15}, {12, 2}, {0, 3}}},
    {"3.14, distant",
     Form::kLocations,
     "8000f1620c0005068443f0725d01000c0d8048",
     {{1, 1}, {402, 7}, {3403, 2}}},
};

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(std::byte(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

TEST_CASE("every instruction has the line the interpreter gives it", "[python]") {
  for (const Captured& captured : kCaptured) {
    CAPTURE(captured.name);
    const std::vector<std::byte> table = from_hex(captured.table);
    int offset = 0;
    for (const Run& run : captured.runs) {
      for (int i = 0; i < run.count; ++i, offset += 2) {
        CAPTURE(offset);
        CHECK(line_at(captured.form, table, 1, offset) == run.line);
        CHECK(line_at(captured.form, table, 5001, offset) == (run.line != 0 ? run.line + 5000 : 0));
      }
    }
    CHECK(offset > 0);
  }
}

TEST_CASE("a frame that has run nothing yet is on the first line", "[python]") {
  for (const Captured& captured : kCaptured) {
    CHECK(line_at(captured.form, from_hex(captured.table), 7, -1) == 7);
  }
}

TEST_CASE("an instruction beyond the table has no line where ranges are bounded", "[python]") {
  for (const Captured& captured : kCaptured) {
    if (captured.form == Form::kIncrements) continue;  // there the last line goes on
    CHECK(line_at(captured.form, from_hex(captured.table), 1, 1 << 20) == 0);
    CHECK(line_at(captured.form, {}, 1, 0) == 0);
  }
}

TEST_CASE("damaged tables give a line or none", "[python]") {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> table(random() % 64);
    // Every other one of bytes with the top bit clear: numbers that never end.
    for (std::byte& byte : table) byte = std::byte(random() & (round % 2 != 0 ? 0x7f : 0xff));
    if (!table.empty() && round % 2 != 0) table[0] = std::byte(0xf0);
    for (const Form form : {Form::kIncrements, Form::kRanges, Form::kLocations}) {
      CHECK(line_at(form, table, int(random()), int(random() % 256)) >= 0);
    }
  }
}

}  // namespace
