// Where a frame lies, from the machine code of its function.
#include "detector/inspect/frame_base.hpp"

#include <catch2/catch.hpp>
#include <initializer_list>
#include <vector>

namespace {

using forkscope::CallBefore;

std::vector<std::byte> code(std::initializer_list<int> bytes) {
  std::vector<std::byte> result;
  for (const int byte : bytes) result.push_back(std::byte(byte));
  return result;
}

}  // namespace

TEST_CASE("frame base: the size of a frame is what the prologue subtracts and pushes") {
  // push rbp; mov rbp,rsp; sub rsp,0x40; mov [rbp-0x38],rdi; call
  const auto plain = forkscope::frame_size(code(
      {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40, 0x48, 0x89, 0x7d, 0xc8, 0xe8, 0, 0, 0, 0}));
  REQUIRE(plain);
  CHECK(plain->size == 0x40);
  CHECK(plain->alignment == 1);
  // endbr64; test edi,edi; je; push rbp; mov rbp,rsp; push r15; push rbx; mov rbx,fs:[0x28];
  // sub rsp,0x1018; call
  const auto mixed = forkscope::frame_size(
      code({0xf3, 0x0f, 0x1e, 0xfa, 0x85, 0xff, 0x74, 0x20, 0x55, 0x48, 0x89, 0xe5,
            0x41, 0x57, 0x53, 0x64, 0x48, 0x8b, 0x1c, 0x25, 0x28, 0,    0,    0,
            0x48, 0x81, 0xec, 0x18, 0x10, 0,    0,    0xe8, 0,    0,    0,    0}));
  REQUIRE(mixed);
  CHECK(mixed->size == 0x1018 + 16);
  // push rbp; mov rbp,rsp; and rsp,-64; sub rsp,0x80; call
  const auto aligned = forkscope::frame_size(code(
      {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xc0, 0x48, 0x81, 0xec, 0x80, 0, 0, 0, 0xe8}));
  REQUIRE(aligned);
  CHECK(aligned->size == 0x80);
  CHECK(aligned->alignment == 64);
}

TEST_CASE("frame base: code that is not understood gives no size") {
  CHECK_FALSE(forkscope::frame_size({}));
  // sub rsp,8; call: no frame pointer
  CHECK_FALSE(forkscope::frame_size(code({0x48, 0x83, 0xec, 0x08, 0xe8, 0, 0, 0, 0})));
  // push rbp; mov rbp,rsp; sub rsp,rax
  CHECK_FALSE(forkscope::frame_size(code({0x55, 0x48, 0x89, 0xe5, 0x48, 0x29, 0xc4, 0xe8})));
  // push rbp; mov rbp,rsp; mov rbp,rax
  CHECK_FALSE(forkscope::frame_size(code({0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xc5, 0xe8})));
  // push rbp; mov rbp,rsp; an instruction that is cut off
  CHECK_FALSE(forkscope::frame_size(code({0x55, 0x48, 0x89, 0xe5, 0x48, 0x81, 0xec, 0x10})));
}

TEST_CASE("frame base: a stack pointer that depends on data is seen, an epilogue is not one") {
  CHECK(forkscope::moves_stack_by_data(code({0x90, 0x48, 0x29, 0xc4})));        // sub rsp,rax
  CHECK(forkscope::moves_stack_by_data(code({0x4c, 0x89, 0xe4})));              // mov rsp,r12
  CHECK(forkscope::moves_stack_by_data(code({0x48, 0x8d, 0x24, 0x04})));        // lea rsp,[rsp+rax]
  CHECK_FALSE(forkscope::moves_stack_by_data(code({0x48, 0x8d, 0x65, 0xf0})));  // lea rsp,[rbp-16]
  CHECK_FALSE(forkscope::moves_stack_by_data(code({0x48, 0x83, 0xec, 0x10, 0xc9, 0xc3})));
}

TEST_CASE("frame base: calls are told from other instructions, and by where they lead") {
  const auto direct =
      forkscope::call_before(code({0x90, 0x90, 0x90, 0xe8, 0xf0, 0xff, 0xff, 0xff}));
  CHECK(direct.kind == CallBefore::Kind::kDirect);
  CHECK(direct.distance == -16);
  const auto through = forkscope::call_before(code({0x90, 0x90, 0xff, 0x15, 0x10, 0x20, 0, 0}));
  CHECK(through.kind == CallBefore::Kind::kThrough);
  CHECK(through.distance == 0x2010);
  const auto computed = {code({0x90, 0xff, 0xd0}),                        // call rax
                         code({0x41, 0xff, 0xd4}),                        // call r12
                         code({0x90, 0xff, 0x50, 0x18}),                  // call [rax+24]
                         code({0x90, 0xff, 0x90, 0x40, 1, 0, 0}),         // call [rax+320]
                         code({0x41, 0xff, 0x54, 0x24, 0x08}),            // call [r12+8]
                         code({0x64, 0xff, 0x14, 0x25, 0x40, 6, 0, 0})};  // call fs:[0x640]
  for (const auto& one : computed) {
    CHECK(forkscope::call_before(one).kind == CallBefore::Kind::kComputed);
  }
  CHECK(forkscope::call_before(code({0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40})).kind ==
        CallBefore::Kind::kNone);
  CHECK(forkscope::call_before({}).kind == CallBefore::Kind::kNone);
}

TEST_CASE("frame base: arguments that the caller pushed, and entries of linkage tables") {
  CHECK(forkscope::arguments_removed(code({0x48, 0x83, 0xc4, 0x20, 0, 0, 0})) == 0x20);
  CHECK(forkscope::arguments_removed(code({0x48, 0x81, 0xc4, 0, 1, 0, 0})) == 0x100);
  CHECK(forkscope::arguments_removed(code({0x48, 0x83, 0xec, 0x20, 0, 0, 0})) == 0);
  CHECK(forkscope::linkage_slot(code({0xff, 0x25, 0x10, 0, 0, 0})) == 6 + 0x10);
  CHECK(forkscope::linkage_slot(code({0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0x10, 0, 0, 0})) ==
        11 + 0x10);
  CHECK_FALSE(forkscope::linkage_slot(code({0x55, 0x48, 0x89, 0xe5, 0, 0})));
}
