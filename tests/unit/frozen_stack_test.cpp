// Unwinds stacks of this process from copies of them, after the frames are gone.
#include "detector/inspect/frozen_stack.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "detector/symbols/symbols.hpp"
#include "tests/unit/frozen/evidence.hpp"
#include "tests/unit/frozen/own_modules.hpp"

namespace {

using forkscope::Frame;
using forkscope::MemoryBytes;
using forkscope::UnwoundStack;
using frozen::Shot;

Shot take(void (*reader)(Shot&)) {
  Shot shot;
  std::thread(reader, std::ref(shot)).join();
  return shot;
}

std::vector<Frame> name_all(const UnwoundStack& stack) {
  const auto namer = forkscope::make_namer();
  const auto modules = frozen::own_modules();
  std::vector<Frame> frames;
  for (const std::uint64_t address : stack.addresses) {
    for (const Frame& frame : namer->code(address, true, modules)) {
      frames.push_back(frame);
    }
  }
  return frames;
}

bool is(const Frame& frame, const std::string& function) {
  return frame.function.find(function) != std::string::npos;
}

void require_chain(const UnwoundStack& stack, const Shot& shot, const std::string& name) {
  CHECK(stack.complete);
  const std::vector<Frame> frames = name_all(stack);
  for (const Frame& frame : frames) UNSCOPED_INFO(frame.function << " " << frame.module);
  REQUIRE(frames.size() > 6);  // read_row_group .. reader, std::thread, start_thread, clone
  CHECK(is(frames[0], name + "::read_row_group("));
  CHECK(frames[0].line == shot.acquire_line);
  CHECK(std::filesystem::path(frames[0].file).filename() == "chain.inc");
  CHECK_FALSE(frames[0].inlined);
  CHECK(frames[1].function == name + "::decode");  // static: DWARF has no types in the name
  CHECK(frames[1].inlined);
  CHECK(frames[1].line == shot.decode_line);
  CHECK(is(frames[2], name + "::read_parquet("));
  CHECK_FALSE(frames[2].inlined);
  CHECK(frames[2].line == shot.parquet_line);
  CHECK(frames[2].address == frames[1].address);
  CHECK(is(frames[3], name + "::reader("));
  CHECK(std::filesystem::path(frames.back().module).filename().string().starts_with("libc.so"));
}

struct Chain {
  const char* name;
  void (*reader)(Shot&);
};
constexpr Chain kChains[] = {{"chain_o0", chain_o0::reader},
                             {"chain_o2", chain_o2::reader},
                             {"chain_frame_pointer", chain_frame_pointer::reader},
                             {"chain_debug_frame", chain_debug_frame::reader}};

constexpr std::size_t kStackBytes = 1 << 20;

}  // namespace

TEST_CASE("frozen stack: frames that have returned and been overwritten come from the slice") {
  for (const Chain& chain : kChains) {
    DYNAMIC_SECTION(chain.name) {
      const Shot shot = take(chain.reader);
      REQUIRE(shot.slice.bytes.size() == frozen::kSliceSize);
      const auto stack = forkscope::unwind_frozen(shot.registers, {shot.slice, shot.frozen},
                                                  frozen::own_modules());
      require_chain(stack, shot, chain.name);
    }
  }
}

TEST_CASE("frozen stack: without the slice the overwritten frames are not made up") {
  const Shot shot = take(chain_o2::reader);
  const auto stack = forkscope::unwind_frozen(shot.registers, {shot.frozen}, frozen::own_modules());
  CHECK_FALSE(stack.complete);
  for (const Frame& frame : name_all(stack)) CHECK_FALSE(is(frame, "read_parquet"));
}

TEST_CASE("frozen stack: the slice alone gives the inner frames and says that it broke off") {
  const Shot shot = take(chain_o2::reader);
  const auto stack = forkscope::unwind_frozen(shot.registers, {shot.slice}, frozen::own_modules());
  CHECK_FALSE(stack.complete);
  const auto frames = name_all(stack);
  REQUIRE(frames.size() == 4);
  CHECK(is(frames[0], "read_row_group("));
  CHECK(is(frames[3], "reader("));
}

TEST_CASE("frozen stack: the earlier of two overlapping slices wins, at any byte boundary") {
  Shot shot = take(chain_o2::reader);
  // The saved slice in two pieces, cut inside a word.
  MemoryBytes rest = shot.slice;
  const std::size_t cut = 13;
  rest.address += cut;
  rest.bytes.erase(rest.bytes.begin(), rest.bytes.begin() + cut);
  shot.slice.bytes.resize(cut);
  const auto stack = forkscope::unwind_frozen(shot.registers, {shot.slice, rest, shot.frozen},
                                              frozen::own_modules());
  require_chain(stack, shot, "chain_o2");
}

TEST_CASE("frozen stack: nothing known gives the program counter and no more") {
  const Shot shot = take(chain_o2::reader);
  const auto no_modules = forkscope::unwind_frozen(shot.registers, {}, {});
  CHECK(no_modules.addresses == std::vector<std::uint64_t>{shot.registers.pc});
  CHECK_FALSE(no_modules.complete);
  auto modules = frozen::own_modules();
  for (auto& module : modules) module.path += " (deleted)";
  const auto deleted = forkscope::unwind_frozen(shot.registers, {shot.slice}, modules);
  CHECK_FALSE(deleted.complete);
}

TEST_CASE("frozen stack: a zero return address in memory nobody wrote is not the outermost frame") {
  Shot shot = take(chain_o2::reader);
  std::fill(shot.slice.bytes.begin(), shot.slice.bytes.end(), std::byte{0});
  const auto stack =
      forkscope::unwind_frozen(shot.registers, {shot.slice, shot.frozen}, frozen::own_modules());
  CHECK_FALSE(stack.complete);
  CHECK(stack.addresses.size() == 1);
}

TEST_CASE("frozen stack: damaged evidence ends within bounds") {
  const auto modules = frozen::own_modules();
  const Shot good = take(chain_o2::reader);
  std::mt19937_64 random(20240607);
  const auto byte = [&] { return std::byte(random()); };
  for (int round = 0; round < 300; ++round) {
    Shot shot = good;
    if (round % 3 == 0) {  // some bytes of the stack
      for (int i = 0; i < 40; ++i) shot.slice.bytes[random() % 256] = byte();
    } else if (round % 3 == 1) {  // everything
      for (auto& b : shot.slice.bytes) b = byte();
      shot.registers = {random(), random(), random(), random()};
      if (round % 2 == 0) shot.registers.pc = good.registers.pc;
      if (round % 2 == 0) shot.registers.sp = good.registers.sp + random() % 64;
    } else {  // bytes that claim to be a module's unwind tables
      const auto& module = modules[random() % modules.size()];
      shot.slice.address = module.start + random() % (module.end - module.start);
      for (auto& b : shot.slice.bytes) b = byte();
    }
    const auto stack = forkscope::unwind_frozen(shot.registers, {shot.slice, shot.frozen}, modules);
    REQUIRE(!stack.addresses.empty());
    REQUIRE(stack.addresses.size() <= 256);
  }
}

TEST_CASE("frozen stack: return addresses that lead back to the same function end within bounds") {
  Shot shot = take(chain_o2::reader);
  // Every word of the stack says: returned to read_parquet.
  const auto stack =
      forkscope::unwind_frozen(shot.registers, {shot.slice, shot.frozen}, frozen::own_modules());
  REQUIRE(stack.addresses.size() > 2);
  MemoryBytes forged;
  forged.address = shot.registers.sp;
  forged.bytes.resize(kStackBytes);
  for (std::size_t i = 0; i < forged.bytes.size(); i += 8) {
    std::memcpy(&forged.bytes[i], &stack.addresses[1], 8);
  }
  const auto looped = forkscope::unwind_frozen(shot.registers, {forged}, frozen::own_modules());
  CHECK_FALSE(looped.complete);
  CHECK(looped.addresses.size() == 256);
}
