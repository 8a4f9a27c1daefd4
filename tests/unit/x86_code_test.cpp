// Instructions of x86-64: how long they are, and what a loop that only waits may have of them. Bytes
// are what an assembler makes of the text beside them.
#include "detector/inspect/x86_code.hpp"

#include <catch2/catch.hpp>

using namespace forkscope;
using x86::Does;

namespace {

std::optional<x86::Instruction> decode(std::initializer_list<int> bytes) {
  std::vector<std::byte> code;
  for (const int byte : bytes) code.push_back(static_cast<std::byte>(byte));
  return x86::decode(code);
}

struct Known {
  std::initializer_list<int> bytes;
  Does does;
  const char* text;
};

}  // namespace

TEST_CASE("x86: each instruction is as long as it is, and does what it does", "[x86]") {
  const Known known[] = {
      {{0x8b, 0x05, 0x45, 0x28, 0, 0}, Does::kMoves, "mov 0x2845(%rip),%eax"},
      {{0x85, 0xc0}, Does::kCompares, "test %eax,%eax"},
      {{0x83, 0x3d, 0xcf, 0x28, 0, 0, 0}, Does::kCompares, "cmpl $0,0x28cf(%rip)"},
      {{0x74, 0xf6}, Does::kBranches, "je"},
      {{0x0f, 0x84, 0, 1, 0, 0}, Does::kBranches, "je far"},
      {{0xeb, 0x02}, Does::kJumps, "jmp"},
      {{0xf3, 0x90}, Does::kMoves, "pause"},
      {{0xf3, 0x0f, 0x1e, 0xfa}, Does::kMoves, "endbr64"},
      {{0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, Does::kMoves, "nopw %cs:0(%rax,%rax,1)"},
      {{0xe8, 0, 1, 0, 0}, Does::kCalls, "call"},
      {{0xff, 0x15, 0, 1, 0, 0}, Does::kCallsBy, "call *0x100(%rip)"},
      {{0xff, 0x25, 0, 1, 0, 0}, Does::kJumpsBy, "jmp *0x100(%rip)"},
      {{0xff, 0xd0}, Does::kUnknown, "call *%rax"},
      {{0x0f, 0x05}, Does::kUnknown, "syscall"},
      {{0xc3}, Does::kReturns, "ret"},
      {{0xf0, 0x0f, 0xb1, 0x15, 0x8e, 0x2d, 0, 0}, Does::kTries, "lock cmpxchg %edx,0x2d8e(%rip)"},
      {{0x87, 0x05, 0xf1, 0x2d, 0, 0}, Does::kTries, "xchg %eax,0x2df1(%rip)"},
      {{0x83, 0xc3, 0x01}, Does::kComputes, "add $1,%ebx"},
      {{0x01, 0xd8}, Does::kComputes, "add %ebx,%eax"},
      {{0x31, 0xc0}, Does::kMoves, "xor %eax,%eax"},
      {{0x83, 0xe0, 0x07}, Does::kMoves, "and $7,%eax"},
      {{0x48, 0x83, 0x05, 0x18, 0x27, 0, 0, 0x01}, Does::kStores, "addq $1,0x2718(%rip)"},
      {{0x48, 0x89, 0x44, 0x24, 0x08}, Does::kStores, "mov %rax,8(%rsp)"},
      {{0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0}, Does::kStores, "movq $0,(%rsp)"},
      {{0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, Does::kMoves, "movabs $...,%rax"},
      {{0x66, 0xb8, 1, 2}, Does::kMoves, "mov $0x201,%ax"},
      {{0x69, 0xc0, 0xe8, 3, 0, 0}, Does::kComputes, "imul $1000,%eax,%eax"},
      {{0xf2, 0x0f, 0x11, 0x05, 0, 1, 0, 0}, Does::kStores, "movsd %xmm0,0x100(%rip)"},
      {{0xf2, 0x0f, 0x5e, 0xc1}, Does::kComputes, "divsd %xmm1,%xmm0"},
      {{0xc5, 0xf8, 0x77}, Does::kMoves, "vzeroupper"},
      {{0xc5, 0xfc, 0x11, 0x07}, Does::kStores, "vmovups %ymm0,(%rdi)"},
      {{0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0}, Does::kMoves, "mov %fs:0x28,%rax"},
      {{0xf7, 0x05, 0, 1, 0, 0, 1, 0, 0, 0}, Does::kCompares, "testl $1,0x100(%rip)"},
      {{0xf7, 0xd8}, Does::kComputes, "neg %eax"},
  };
  for (const Known& one : known) {
    INFO(one.text);
    const auto instruction = decode(one.bytes);
    REQUIRE(instruction);
    CHECK(instruction->length == one.bytes.size());
    CHECK(instruction->does == one.does);
  }
}

TEST_CASE("x86: operands by the instruction pointer count from the instruction's end", "[x86]") {
  CHECK(decode({0x83, 0x3d, 0xcf, 0x28, 0, 0, 0})->place == 0x28d0);  // an immediate byte follows
  CHECK(decode({0x8b, 0x05, 0x45, 0x28, 0, 0})->place == 0x2845);
  CHECK(decode({0x74, 0xf6})->place == -10);
}

TEST_CASE("x86: registers of an instruction and of its operand's address", "[x86]") {
  const auto load = decode({0x4c, 0x8b, 0x64, 0x8d, 0x10});  // mov 0x10(%rbp,%rcx,4),%r12
  CHECK(load->writes == 1u << 12);
  CHECK(load->base == (1u << x86::kBp | 1u << 1));
  CHECK(load->displacement == 0x10);
  const auto copy = decode({0x48, 0x89, 0xe5});  // mov %rsp,%rbp
  CHECK(copy->writes == 1u << x86::kBp);
  CHECK(copy->reads == 1u << x86::kSp);
  CHECK(decode({0x48, 0x8d, 0x7c, 0x24, 0x10})->reads == 1u << x86::kSp);  // lea 0x10(%rsp),%rdi
}

TEST_CASE("x86: what is cut off or none of the processor's is no instruction", "[x86]") {
  CHECK_FALSE(decode({}));
  CHECK_FALSE(decode({0x8b, 0x05, 0x45}));
  CHECK_FALSE(decode({0x06}));
  CHECK_FALSE(decode({0x48}));
}
