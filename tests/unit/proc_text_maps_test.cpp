// /proc/PID/maps as kernels write it.
#include <catch2/catch.hpp>
#include <string>

#include "detector/inspect/modules.hpp"
#include "detector/inspect/proc_text.hpp"

using namespace forkscope;

namespace {

// Lines of a program that maps a deleted file both ways, one whose name holds a newline, and a
// shared anonymous page.
const std::string kMaps =
    "560a8e15f000-560a8e312000 rw-p 00000000 00:00 0                          [heap]\n"
    "7fdb7a348000-7fdb7a47b000 rw-p 00000000 00:00 0 \n"
    "7fdb7a81e000-7fdb7a844000 r--p 00000000 fe:00 326269                     "
    "/usr/lib/x86_64-linux-gnu/libc.so.6\n"
    "7fdb7a844000-7fdb7a99a000 r-xp 00026000 fe:00 326269                     "
    "/usr/lib/x86_64-linux-gnu/libc.so.6\n"
    "7fdb7afdb000-7fdb7afdc000 rw-s 00000000 fe:00 10125859                   "
    "/srv/with blank/a\\012b\n"
    "7fdb7afdc000-7fdb7afde000 r--p 00000000 fe:00 10125827                   "
    "/srv/with blank/data file (deleted)\n"
    "7fdb7b190000-7fdb7b191000 rw-s 00000000 00:01 38826                      "
    "/dev/zero (deleted)\n"
    "7fdb7b1a0000-7fdb7b1a2000 r-xp 00000000 00:00 0                          [vdso]\n"
    "7fdb7b1a2000-7fdb7b1a3000 ---p 00000000 00:00 0 \n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

ModuleRecord module_at(const std::string& path) {
  ModuleRecord module;
  module.path = path;
  return module;
}

}  // namespace

TEST_CASE("maps: every line, with its rights, offset, inode and path", "[proc_text]") {
  const auto maps = parse_maps(kMaps);
  REQUIRE(maps.size() == 10);
  CHECK(maps[0].start == 0x560a8e15f000);
  CHECK(maps[0].end == 0x560a8e312000);
  CHECK(maps[0].path == "[heap]");
  CHECK((maps[0].readable && maps[0].writable && !maps[0].executable && !maps[0].shared));
  CHECK(maps[1].path.empty());
  CHECK(maps[3].offset == 0x26000);
  CHECK(maps[3].inode == 326269);
  CHECK((maps[3].readable && !maps[3].writable && maps[3].executable));
  CHECK(maps[8].path.empty());
  CHECK_FALSE((maps[8].readable || maps[8].writable || maps[8].executable || maps[8].shared));
  CHECK(maps[9].start == 0xffffffffff600000);
  CHECK_FALSE(maps[9].readable);
}

TEST_CASE("maps: paths with blanks, escapes and of deleted files are kept as they are",
          "[proc_text]") {
  const auto maps = parse_maps(kMaps);
  REQUIRE(maps.size() == 10);
  CHECK(maps[4].path == "/srv/with blank/a\\012b");
  CHECK(maps[5].path == "/srv/with blank/data file (deleted)");
  CHECK(maps[7].path == "[vdso]");
}

TEST_CASE("maps: shared memory is told from private memory of the same file", "[proc_text]") {
  const auto maps = parse_maps(kMaps);
  REQUIRE(maps.size() == 10);
  CHECK(maps[4].shared);
  CHECK_FALSE(maps[5].shared);
  CHECK(maps[6].shared);
  CHECK_FALSE(maps[1].shared);
}

TEST_CASE("maps: the end without a newline counts, a line cut off before its inode does not",
          "[proc_text]") {
  const std::string line = "7fdb7a348000-7fdb7a47b000 rw-p 00000000 00:00 7";
  for (std::size_t size = 0; size < line.size(); ++size) {
    INFO(line.substr(0, size));
    CHECK(parse_maps(std::string_view(line).substr(0, size)).empty());
  }
  CHECK(parse_maps(line).size() == 1);
  CHECK(parse_maps(kMaps + line.substr(0, 30)).size() == 10);
}

TEST_CASE("maps: lines that are none are left out, the others stay", "[proc_text]") {
  CHECK(parse_maps("").empty());
  CHECK(parse_maps("\n\n").empty());
  CHECK(parse_maps("7fdb7a47b000-7fdb7a348000 rw-p 00000000 00:00 0 \n").empty());  // ends first
  CHECK(parse_maps("7fdb7a348000-7fdb7a348000 rw-p 00000000 00:00 0 \n").empty());  // is empty
  CHECK(parse_maps("7fdb7a348000-7fdb7a47b000 rwp 00000000 00:00 0 \n").empty());
  CHECK(parse_maps("nothing\n" + kMaps + "-\n").size() == 10);
  // Of smaps(5), whose lines between have another form.
  CHECK(parse_maps("7fdb7a348000-7fdb7a47b000 rw-p 00000000 00:00 0 \n"
                   "Size:               1228 kB\nVmFlags: rd wr mr mw me ac\n")
            .size() == 1);
}

TEST_CASE("modules: the C library is known by the name of its file", "[proc_text]") {
  CHECK(libc_of({module_at("/bin/true"), module_at("/lib/x86_64-linux-gnu/libc.so.6")}) ==
        Libc::kGlibc);
  CHECK(libc_of({module_at("/lib/libc-2.31.so")}) == Libc::kGlibc);
  CHECK(libc_of({module_at("/lib/ld-musl-x86_64.so.1")}) == Libc::kMusl);
  CHECK(libc_of({module_at("/opt/app/libcrypto.so.3"), module_at("/opt/app/libc.so.7")}) ==
        Libc::kUnknown);
  CHECK(libc_of({}) == Libc::kUnknown);
}
