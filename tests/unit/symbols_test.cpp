// Names of code and data of this process, from its files, and of mangled names.
#include "detector/symbols/symbols.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <random>

#include "detector/symbols/demangle.hpp"
#include "tests/unit/frozen/evidence.hpp"
#include "tests/unit/frozen/own_modules.hpp"

namespace {

using forkscope::demangle;
using forkscope::Frame;
using forkscope::LockInfo;

template <class T>
std::uint64_t address_of(T& object) {
  return reinterpret_cast<std::uint64_t>(&object);
}

std::string data_name(std::uint64_t address) {
  static const auto namer = forkscope::make_namer();
  LockInfo lock;
  lock.address = address;
  namer->data(lock, frozen::own_modules());
  return lock.symbol;
}

/// As in back references: "_" is 0, "0_" is 1.
std::string base62(std::size_t value) {
  static const char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string text;
  if (value == 0) return "_";
  for (--value; text.empty() || value != 0; value /= 62) text.insert(0, 1, kDigits[value % 62]);
  return text + "_";
}

}  // namespace

TEST_CASE("symbols: a function's first instruction has its name, file and module") {
  const auto namer = forkscope::make_namer();
  const auto modules = frozen::own_modules();
  const auto address = reinterpret_cast<std::uint64_t>(&chain_o2::reader);
  const auto frames = namer->code(address, false, modules);
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].function == "chain_o2::reader(frozen::Shot&)");
  CHECK(std::filesystem::path(frames[0].file).filename() == "chain.inc");
  CHECK(frames[0].line > 0);
  CHECK(frames[0].module == modules[0].path);
  CHECK(frames[0].offset == address - modules[0].bias);
}

TEST_CASE("symbols: a return address is looked up at the call and reported as it is") {
  const auto namer = forkscope::make_namer();
  const auto modules = frozen::own_modules();
  // A call that does not return may be the last instruction: the return address is then the next
  // function's first.
  const auto address = reinterpret_cast<std::uint64_t>(&chain_o2::reader);
  const auto frames = namer->code(address, true, modules);
  REQUIRE(!frames.empty());
  CHECK(frames.back().function != "chain_o2::reader(frozen::Shot&)");
  CHECK(frames.back().address == address);
}

TEST_CASE("symbols: code without debug information has the name in the symbol table") {
  const auto namer = forkscope::make_namer();
  const auto address = reinterpret_cast<std::uint64_t>(&plain::work);
  const auto frames = namer->code(address + 1, false, frozen::own_modules());
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].function == "plain::work(int)");
  CHECK(frames[0].file.empty());
  CHECK(frames[0].line == 0);
}

TEST_CASE("symbols: a function of a shared library has its name and module") {
  const auto namer = forkscope::make_namer();
  void* function = dlsym(RTLD_DEFAULT, "getppid");
  REQUIRE(function != nullptr);
  const auto frames =
      namer->code(reinterpret_cast<std::uint64_t>(function), false, frozen::own_modules());
  REQUIRE(!frames.empty());
  CHECK(frames.back().function.find("getppid") != std::string::npos);
  CHECK(std::filesystem::path(frames.back().module).filename().string().starts_with("libc.so"));
}

TEST_CASE("symbols: an address in no module and a file that is gone still give a frame") {
  const auto namer = forkscope::make_namer();
  const auto nowhere = namer->code(0x10, true, {});
  REQUIRE(nowhere.size() == 1);
  CHECK(nowhere[0].address == 0x10);
  CHECK(nowhere[0].module.empty());

  forkscope::ModuleRecord gone;
  gone.start = 0x7000000;
  gone.end = 0x8000000;
  gone.bias = 0x6ff0000;
  gone.path = "/nonexistent/libgone.so";
  const auto frames = namer->code(0x7000123, true, {gone});
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].module == gone.path);
  CHECK(frames[0].offset == 0x10123);
  CHECK(frames[0].function.empty());
  LockInfo lock;
  lock.address = 0x7000123;
  namer->data(lock, {gone});
  CHECK(lock.module == gone.path);
  CHECK(lock.offset == 0x10123);
  CHECK(lock.symbol.empty());
}

TEST_CASE("symbols: one file mapped at two places has the same names in both") {
  const auto namer = forkscope::make_namer();
  const auto here = frozen::own_modules();
  auto there = here;
  constexpr std::uint64_t kShift = 0x123000;
  for (auto& module : there) {
    module.start += kShift;
    module.end += kShift;
    module.bias += kShift;
  }
  const auto address = reinterpret_cast<std::uint64_t>(&chain_o0::reader);
  CHECK(namer->code(address, false, here).at(0).function ==
        namer->code(address + kShift, false, there).at(0).function);
  LockInfo lock;
  lock.address = address_of(table::reader.file_lock) + kShift;
  namer->data(lock, there);
  CHECK(lock.symbol == "table::reader.file_lock");
}

TEST_CASE("symbols: a lock is named by the members that lead to it") {
  CHECK(data_name(address_of(table::reader.file_lock)) == "table::reader.file_lock");
  CHECK(data_name(address_of(table::reader.raw)) == "table::reader.raw");
  CHECK(data_name(address_of(table::reader.nested.order)) == "table::reader.nested.order");
  CHECK(data_name(address_of(table::shards[2].lock)) == "table::shards[2].lock");
  CHECK(data_name(address_of(table::pool[1].lock)) == "table::pool[1].lock");
  CHECK(data_name(address_of(table::grid[1][2])) == "table::grid[1][2]");
  CHECK(data_name(address_of(table::derived.idle)) == "table::derived.idle");
  CHECK(data_name(address_of(table::derived.file_lock)) == "table::derived.file_lock");
  CHECK(data_name(address_of(table::derived.id)) == "table::derived.id");
}

TEST_CASE("symbols: an address inside a lock says how far inside") {
  CHECK(data_name(address_of(table::reader.file_lock) + 8) == "table::reader.file_lock+0x8");
  CHECK(data_name(address_of(table::shards[3].lock) + 16) == "table::shards[3].lock+0x10");
}

TEST_CASE("symbols: static locks of files and functions have names") {
  CHECK(data_name(address_of(table::file_static())) == "lonely_lock");
  const std::string local = data_name(address_of(table::function_static()));
  CHECK(local == "table::function_static()::local_lock");
}

TEST_CASE("symbols: locks on the heap and on the stack have no symbol") {
  const auto heap = std::make_unique<std::mutex>();
  std::mutex automatic;
  CHECK(data_name(address_of(*heap)).empty());
  CHECK(data_name(address_of(automatic)).empty());
}

TEST_CASE("symbols: without debug information a variable is its symbol and an offset") {
  CHECK(data_name(address_of(plain::locks[0])) == "plain::locks");
  CHECK(data_name(address_of(plain::locks[1])) == "plain::locks+0x28");
}

TEST_CASE("demangle: C++ names, with clones and versions folded into their function") {
  CHECK(demangle("_ZN5table6readerE") == "table::reader");
  CHECK(demangle("_ZN5table4readEi.constprop.0") == "table::read(int)");
  CHECK(demangle("_ZN5table4readEi.isra.0.cold") == "table::read(int)");
  CHECK(demangle("pthread_create@@GLIBC_2.34") == "pthread_create");
  CHECK(demangle("local_lock.0") == "local_lock");
  CHECK(demangle("main") == "main");
  CHECK(demangle("_Znonsense") == "_Znonsense");
  CHECK(demangle("") == "");
}

TEST_CASE("demangle: the dots of Go's names are part of them, those of clones are not") {
  CHECK(demangle("runtime.m0") == "runtime.m0");
  CHECK(demangle("runtime.futex") == "runtime.futex");
  CHECK(demangle("main.init.0") == "main.init.0");
  CHECK(demangle("sync.(*Mutex).Lock") == "sync.(*Mutex).Lock");
  CHECK(demangle("copy.part.0.isra.0.cold") == "copy");
  CHECK(demangle("counter.1234") == "counter");
  CHECK(demangle("copy.llvm.98765") == "copy");
  CHECK(demangle(".L4") == ".L4");
}

TEST_CASE("demangle: D names become paths without types") {
  CHECK(demangle("_Dmain") == "D main");
  CHECK(demangle("_D4core4sync5mutex5Mutex4lockMFZv") == "core.sync.mutex.Mutex.lock");
  CHECK(demangle("_D3app9fileTableC4core4sync5mutex5Mutex") == "app.fileTable");
  CHECK(demangle("_D3app__T4withTiZ5countFZv") == "app.with!(...).count");
  CHECK(demangle("_D3app11__T4withTiZ5countFZv") == "app.with!(...).count");
  CHECK(demangle("_D3app5cacheQk4fillFZv") == "app.cache.app.fill");
  for (const char* name : {"_D", "_Dx", "_D99999999999999999999a", "_DQa", "_D3ap"}) {
    INFO(name);
    CHECK(demangle(name) == name);
  }
}

TEST_CASE("demangle: legacy Rust names lose their hash and their escapes") {
  CHECK(demangle("_ZN4core3fmt5write17h0123456789abcdefE") == "core::fmt::write");
  CHECK(demangle(
            "_ZN51_$LT$app..Pool$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE") ==
        "<app::Pool as core::ops::drop::Drop>::drop");
}

TEST_CASE("demangle: Rust v0 names") {
  // As rustc 1.x writes them; expectations agree with LLVM's demangler.
  CHECK(demangle("_RNvCs6xxl1lAjzDf_1a4main") == "a::main");
  CHECK(demangle("_RNvXCs6xxl1lAjzDf_1aINtB2_4PoolReKj3_ENtB2_2Tr2goB2_") ==
        "<a::Pool<&str, 3> as a::Tr>::go");
  CHECK(demangle("_RINvNtCs6xxl1lAjzDf_1a1m5konstKb1_Kc71_Kln5_EB4_") ==
        "a::m::konst::<true, 'q', -5>");
  CHECK(demangle("_RNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0Cs6xxl1lAjzDf_1a") ==
        "std::rt::lang_start::<()>::{closure#0}");
  CHECK(demangle("_RNvXsa_NtCsgEmfK2I1SDS_4core5arrayARej3_NtNtB7_3fmt5Debug3fmtCs6xxl1lAjzDf_1a"
                 ".llvm.123") == "<[&str; 3] as core::fmt::Debug>::fmt");
}

TEST_CASE("demangle: what is not well-formed Rust v0 comes back as it is, in bounded time") {
  CHECK(demangle("_R") == "_R");
  CHECK(demangle("_RNvC1a4mai") == "_RNvC1a4mai");
  CHECK(demangle("_RNvB_1a") == "_RNvB_1a");  // a back reference to itself
  CHECK(demangle("_RNvC99999999999999999999a") == "_RNvC99999999999999999999a");
  CHECK(demangle("_R" + std::string(100000, 'N')) == "_R" + std::string(100000, 'N'));
  // Each tuple repeats the one before twice: 2^40 elements if it were printed.
  std::string bomb = "INvC1a1f";
  std::size_t target = bomb.size();
  bomb += "ThE";
  for (int i = 0; i < 40; ++i) {
    const std::string reference = base62(target);
    target = bomb.size();
    bomb += "TB" + reference + "B" + reference + "E";
  }
  CHECK_FALSE(forkscope::demangle_rust_v0("_R" + bomb + "E").has_value());
  CHECK(forkscope::demangle_rust_v0("_RINvC1a1fThETB7_B7_EE") == "a::f::<(u8,), ((u8,), (u8,))>");

  std::mt19937 random(7);
  const std::string good = "RINvNtCs6xxl1lAjzDf_1a1m5konstKb1_Kc71_TRhQShFUKCjEuDC1bp1cyEL_EB4_";
  for (int round = 0; round < 20000; ++round) {
    std::string name = "_" + good;
    for (unsigned i = 0; i < 1 + random() % 4; ++i) {
      name[2 + random() % (name.size() - 2)] = good[random() % good.size()];
    }
    REQUIRE(demangle(name).size() <= 64u << 10);
  }
}
