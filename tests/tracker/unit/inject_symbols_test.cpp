// Names of symbols as patterns of --inject see them, and ranges read from this very program.
#include "detector/tracker/inject_symbols.hpp"

#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using namespace forkscope::inject;

/// Found by name below.
[[gnu::used]] int inject_symbols_variable[4] = {1, 2, 3, 4};
namespace inject_symbols {
[[gnu::noinline, gnu::used]] int function() { return inject_symbols_variable[0]; }
}  // namespace inject_symbols

namespace {

std::string plain(const char* mangled) {
  char name[256];
  return plain_name(mangled, name, sizeof name) ? name : "";
}

const link_map* own_object() {
  dl_find_object found{};
  REQUIRE(_dl_find_object(reinterpret_cast<void*>(&inject_symbols::function), &found) == 0);
  return found.dlfo_link_map;
}

std::uint32_t wanted(const char* name) {
  return (std::strcmp(name, "inject_symbols_variable") == 0 ? 1u : 0u) |
         (std::strcmp(name, "inject_symbols::function") == 0 ? 2u : 0u);
}

}  // namespace

TEST_CASE("names: qualified names of the Itanium C++ ABI, without parameters", "[inject]") {
  CHECK(plain("_ZN7parquet9file_lockE") == "parquet::file_lock");
  CHECK(plain("_ZN12_GLOBAL__N_19file_lockE") == "(anonymous namespace)::file_lock");
  CHECK(plain("_ZN3foo12_GLOBAL__N_1L4lockE") == "foo::(anonymous namespace)::lock");
  CHECK(plain("_ZL9file_lock") == "file_lock");
  CHECK(plain("_Z3fooi") == "foo");
  CHECK(plain("_ZNK11TableReader14read_row_groupERK8RowGroup") == "TableReader::read_row_group");
  CHECK(plain("_ZN11TableReaderC1Ei") == "TableReader::TableReader");
  CHECK(plain("_ZNSt5mutex4lockEv") == "std::mutex::lock");
}

TEST_CASE("names: what is no plain name is left alone", "[inject]") {
  for (const char* mangled :
       {"_Z", "_ZN", "_ZN3fo", "_ZN9999999999999999a", "_Zeq", "_ZN3fooIiE3barE", "_ZZ4mainE4lock",
        "_ZTV3foo", "_ZN3fooeqERKS_", "_Z5"})
    CHECK(plain(mangled).empty());
  char small[8];
  CHECK_FALSE(plain_name("_ZN7parquet9file_lockE", small, sizeof small));
}

TEST_CASE("symbols: variables and functions of an object are found by name", "[inject]") {
  const SymbolRanges ranges = read_symbols(*own_object(), wanted);
  bool variable = false, function = false;
  for (std::uint32_t i = 0; i < ranges.count; ++i) {
    const SymbolRange& range = ranges.first[i];
    if (range.injections == 1) {
      variable = true;
      CHECK(range.begin == reinterpret_cast<std::uint64_t>(inject_symbols_variable));
      CHECK(range.end - range.begin == sizeof inject_symbols_variable);
      CHECK_FALSE(range.code);
    } else {
      function = true;
      CHECK(range.begin == reinterpret_cast<std::uint64_t>(&inject_symbols::function));
      CHECK(range.code);
    }
  }
  CHECK(variable);
  CHECK(function);
}

TEST_CASE("symbols: an object whose file is gone has none", "[inject]") {
  link_map gone = *own_object();
  char path[] = "/nonexistent/library.so";
  gone.l_name = path;
  CHECK(read_symbols(gone, wanted).count == 0);
  char folder[] = "/tmp";
  gone.l_name = folder;
  CHECK(read_symbols(gone, wanted).count == 0);
  char text[] = "/proc/self/status";
  gone.l_name = text;
  CHECK(read_symbols(gone, wanted).count == 0);
}
