// Which function a call was made to: the kinds of calls that compilers and linkers write.
#include <catch2/catch.hpp>

#include "detector/inspect/called_function.hpp"
#include "tests/unit/support/python_process.hpp"

using namespace forkscope;

namespace {

using Address = std::uint64_t;
constexpr Address kBase = test::StretchMemory::kBase;
constexpr Address kReturn = kBase + 0x100, kStub = kBase + 0x400, kSlot = kBase + 0x800,
                  kFunction = 0x7f0000001000;

class Code {
 public:
  /// The instruction `opcode`, then the distance from its end to `to`; it ends at `end`.
  void put(Address end, std::initializer_list<std::uint8_t> opcode, Address to) {
    memory.put(end - 4, std::int32_t(to - end));
    Address at = end - 4 - opcode.size();
    for (const std::uint8_t byte : opcode) memory.put(at++, byte);
  }
  void call(Address to) { put(kReturn, {0xe8}, to); }
  std::optional<Address> called() { return called_function(memory, kReturn); }

  test::StretchMemory memory{0x1000};
};

}  // namespace

TEST_CASE("called function: of a direct call") {
  Code code;
  code.call(kStub);
  CHECK(code.called() == kStub);
}

TEST_CASE("called function: through the procedure linkage table, whatever its entries look like") {
  const std::initializer_list<std::uint8_t> stubs[] = {
      {0xff, 0x25}, {0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25}, {0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25},
      {0xf2, 0xff, 0x25}};
  for (const auto& stub : stubs) {
    Code code;
    code.call(kStub);
    code.put(kStub + stub.size() + 4, stub, kSlot);
    code.memory.put(kSlot, kFunction);
    CHECK(code.called() == kFunction);
  }
}

TEST_CASE("called function: through a pointer beside the code, as with -fno-plt") {
  Code code;
  code.put(kReturn, {0xff, 0x15}, kSlot);
  code.memory.put(kSlot, kFunction);
  CHECK(code.called() == kFunction);
}

TEST_CASE("called function: nothing where the call is another kind or cannot be read") {
  Code code;
  CHECK(code.called() == std::nullopt);  // no call at all
  code.put(kReturn, {0xff, 0x15}, kBase + 0x10000);
  CHECK(code.called() == std::nullopt);
  code.call(kStub);
  code.put(kStub + 6, {0xff, 0x25}, kBase + 0x10000);
  CHECK(code.called() == std::nullopt);
  CHECK(called_function(code.memory, 3) == std::nullopt);
}
