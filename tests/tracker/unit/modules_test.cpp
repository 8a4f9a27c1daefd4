// Which object an address lies in, asked by several threads at once.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>

#include "detector/tracker/modules.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;

namespace {

std::uint64_t address(const void* of) { return reinterpret_cast<std::uint64_t>(of); }

}  // namespace

TEST_CASE("every object that somebody asked for is written down, with its place") {
  static const int in_this_program = 0;
  const void* in_libc = dlsym(RTLD_NEXT, "qsort");
  const void* in_libstdcxx = dlsym(RTLD_DEFAULT, "_ZSt9terminatev");
  REQUIRE(in_libc != nullptr);
  REQUIRE(in_libstdcxx != nullptr);
  const std::uint64_t asked[] = {address(&in_this_program), address(in_libc),
                                 address(in_libstdcxx)};
  std::atomic<int> wrong{0};
  test::together(4, [&](int index) {
    for (int i = 0; i < 300; ++i) {
      std::uint64_t at = asked[(i + index) % 3];
      std::uint64_t start = note_module(at);
      wrong += start == 0 || start > at;
    }
    note_modules(asked, 3);
  });
  CHECK(wrong == 0);
  Session session = test::recorded();
  for (std::uint64_t at : asked) {
    int found = 0;
    for (const ModuleRecord& module : session.modules) {
      if (module.meta.pid != getpid()) continue;  // children write down what they need themselves
      if (at < module.start || at >= module.end) continue;
      CHECK(module.start == note_module(at));
      CHECK_FALSE(module.path.empty());  // the main program's is known from its Hello
      ++found;
    }
    CHECK(found >= 1);
    CHECK(found <= 4);  // two who ask first at once may both write it
  }
}

TEST_CASE("addresses in no object are in none") {
  int on_the_stack = 0;
  auto on_the_heap = std::make_unique<int>(0);
  CHECK(note_module(0) == 0);
  CHECK(note_module(1) == 0);
  CHECK(note_module(~std::uint64_t{0}) == 0);
  CHECK(note_module(address(&on_the_stack)) == 0);
  CHECK(note_module(address(on_the_heap.get())) == 0);
}
