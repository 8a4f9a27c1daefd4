// What the interpreter says of its own structures, and where it is found.
#include <catch2/catch.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "detector/inspect/modules.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/exported_symbol.hpp"
#include "detector/inspect/python/find_runtime.hpp"
#include "detector/inspect/python/interpreter_layout.hpp"
#include "detector/inspect/python/objects.hpp"
#include "tests/unit/support/python_tables.hpp"

namespace {

using namespace forkscope;
using namespace forkscope::python;
using namespace forkscope::test;

std::vector<std::byte> runtime_bytes(const std::vector<std::uint64_t>& numbers) {
  std::vector<std::byte> bytes(8 + numbers.size() * 8);
  std::memcpy(bytes.data(), "xdebugpy", 8);
  std::memcpy(bytes.data() + 8, numbers.data(), numbers.size() * 8);
  return bytes;
}

TEST_CASE("3.13 and 3.14 describe themselves", "[python]") {
  const auto of313 = describe(runtime_bytes(kDescription313));
  REQUIRE((of313 && of313->layout));
  CHECK(version_text(of313->version) == "3.13.18");
  CHECK(of313->layout->runtime_interpreters == 632);
  CHECK(of313->layout->interpreter_next == 7264);
  CHECK(of313->layout->interpreter_threads == 7344);
  CHECK(of313->layout->thread_native == 160);
  CHECK(of313->layout->frame_owner == 70);
  CHECK(of313->layout->code_instructions == 200);
  CHECK(of313->layout->code_tag == 0);
  CHECK(of313->layout->text_ascii == 40);
  CHECK(of313->layout->text_compact == 56);

  const auto of314 = describe(runtime_bytes(kDescription314));
  REQUIRE((of314 && of314->layout));
  CHECK(version_text(of314->version) == "3.14.10");
  CHECK(of314->layout->runtime_interpreters == 808);
  CHECK(of314->layout->interpreter_next == 7272);
  CHECK(of314->layout->thread_frame == 72);
  CHECK(of314->layout->frame_owner == 74);
  CHECK(of314->layout->code_instructions == 208);
  CHECK(of314->layout->bytes_data == 32);
  CHECK(of314->layout->text_length == 16);
}

TEST_CASE("a description that is cut short, absurd or of another build gives no layout",
          "[python]") {
  CHECK_FALSE(describe({}));
  CHECK_FALSE(describe(std::vector<std::byte>(1024)));
  for (std::size_t count = 3; count < kDescription314.size(); ++count) {
    const std::vector<std::uint64_t> some(kDescription314.begin(), kDescription314.begin() + count);
    const auto said = describe(runtime_bytes(some));
    CHECK((!said || !said->layout));
  }
  auto absurd = kDescription313;
  absurd[30] = std::uint64_t(1) << 40;  // where a frame has its instruction
  CHECK_FALSE(describe(runtime_bytes(absurd)).value().layout);

  auto free_threaded = kDescription314;
  free_threaded[1] = 1;
  CHECK(describe(runtime_bytes(free_threaded)).value().free_threaded);
  CHECK_FALSE(describe(runtime_bytes(free_threaded)).value().layout);

  auto later = kDescription314;
  later[0] = 0x030f00f0;
  CHECK_FALSE(describe(runtime_bytes(later)).value().layout);
  CHECK(version_text(0x030f00f0) == "3.15.0");
  CHECK(version_text(0x030e00a3) == "3.14.0a3");
  CHECK(version_text(0x030d02c1) == "3.13.2rc1");
}

TEST_CASE("versions are told by file names", "[python]") {
  const auto mapped = [](const char* path) {
    Mapping mapping;
    mapping.path = path;
    return mapping;
  };
  const std::vector<Mapping> mappings{mapped("/usr/bin/tool"),
                                      mapped("/usr/lib/python3.10/lib-dynload/_json.so"),
                                      mapped("[heap]")};
  CHECK(likely_versions({0, "/usr/lib/libpython3.9.so.1.0", 0}, mappings) == std::vector{9});
  CHECK(likely_versions({0, "/srv/python3.8/bin/python3.12", 0}, mappings) == std::vector{12});
  CHECK(likely_versions({0, "/usr/bin/tool", 0}, mappings) == std::vector{10, 9, 11, 12});
  CHECK(likely_versions({0, "/usr/bin/python3.", 0}, {}) == std::vector{9, 10, 11, 12});
}

TEST_CASE("exported symbols are found as the loader finds them", "[python]") {
  // Of libc itself: a sanitizer or the program may have its own of the same name.
  void* const libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  REQUIRE(libc != nullptr);
  LiveMemory memory(getpid());
  std::ifstream maps("/proc/self/maps");
  const std::string text(std::istreambuf_iterator<char>(maps), {});
  ModuleFinder finder(memory);
  int found = 0;
  for (const ModuleRecord& module : finder.modules(parse_maps(text))) {
    if (module.path.find("libc.so") == std::string::npos) continue;
    ExportedSymbols symbols(memory, module);
    for (const char* name : {"strtol", "environ", "setenv", "stdout"}) {
      CHECK(symbols.find(name) == reinterpret_cast<std::uint64_t>(dlsym(libc, name)));
      ++found;
    }
    CHECK_FALSE(symbols.find("_PyRuntime"));
    CHECK_FALSE(symbols.find(""));
  }
  dlclose(libc);
  CHECK(found == 4);
}

std::string latin(std::string_view text) {
  return utf8(std::as_bytes(std::span(text.data(), text.size())), 1);
}
template <class Char>
std::string wide(std::basic_string_view<Char> text) {
  return utf8(std::as_bytes(std::span(text.data(), text.size())), sizeof(Char));
}

TEST_CASE("names become UTF-8", "[python]") {
  CHECK(latin("plain") == "plain");
  CHECK(latin("gr\xf6\xdf\x65") == "größe");
  CHECK(wide<char16_t>(u"日本 é") == "日本 é");
  CHECK(wide<char32_t>(U"\U0001f40d日é") == "\U0001f40d日é");
  CHECK(latin("") == "");
  // A byte of a file name that is no UTF-8, as Python keeps it.
  CHECK(wide<char16_t>(std::u16string(u"a") + char16_t(0xdce9) + u"b") == "a\uFFFDb");
  CHECK(wide<char32_t>(std::u32string(1, char32_t(0x110000))) == "\uFFFD");
  CHECK(utf8(std::vector<std::byte>(7), 4).size() == 1);
  CHECK(utf8(std::vector<std::byte>(7), 3).empty());
}

}  // namespace
