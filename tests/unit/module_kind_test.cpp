// What a loaded file is by its name, with names that packages of Debian, Alpine, PyPI and conda have.
#include "detector/record/module_kind.hpp"

#include <catch2/catch.hpp>

using namespace forkscope;

namespace {

void check_all(ModuleKind kind, std::initializer_list<const char*> paths) {
  for (const char* path : paths) {
    INFO(path);
    CHECK(module_kind(path) == kind);
  }
}

}  // namespace

TEST_CASE("libc and its companions are known by their files, of any version", "[module_kind]") {
  check_all(ModuleKind::kLibc,
            {"/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/libc-2.31.so", "/lib/libpthread-2.31.so",
             "/lib64/libpthread.so.0", "/lib64/librt.so.1", "/lib64/librt-2.31.so", "/lib/libm.so.6",
             "/lib/libm-2.28.so", "/lib/libmvec.so.1", "/lib/libdl.so.2", "/lib/libdl-2.17.so",
             "/lib/libanl.so.1", "/lib/libresolv.so.2", "/lib/libnss_files-2.31.so",
             "/lib/libc.musl-x86_64.so.1", "/usr/lib/x86_64-linux-musl/libc.so", "libc.so.6",
             "/usr/lib/libc.so.6 (deleted)"});
}

TEST_CASE("a library whose name begins as libc's does is no part of it", "[module_kind]") {
  check_all(ModuleKind::kOther,
            {"/usr/lib/libpthreadpool.so.0", "libpthreadpool-1a2b3c4d.so", "libpthread-stubs.so",
             "libpthread_workqueue.so.0", "libpthread_sim-2.31.so", "librtmp.so.1",
             "librt-audio.so.1", "librt_core.so", "librte_eal.so.23", "libcurl.so.4",
             "libcrypto.so.3", "libcrypt.so.1", "libc-client.so.2007e", "libc-ares.so.2",
             "libcap-ng.so.0", "libm17n.so.0", "libm4ri-0.0.20200125.so", "libmath.so",
             "libm-audio-2.so", "libdlib.so.19", "libdl_list.so", "libanl-mesh.so",
             "libutil-linux.so.1", "libresolver.so", "libnss_systemd.so.2", "libnss3.so",
             "libc.so.6/app", "libc.so.conf", "libc-1.so", "libc-2.so.x", "/usr/bin/ld", "libc",
             "ld-cache.so", "ldap.so", "", "[vdso]"});
}

TEST_CASE("the loader is known on every machine, also when it is started as a program",
          "[module_kind]") {
  check_all(ModuleKind::kLoader,
            {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux.so.2", "/lib/ld-linux-aarch64.so.1",
             "/lib/ld-musl-x86_64.so.1", "/lib/ld-2.31.so", "/lib64/ld64.so.2", "/lib/ld.so.1"});
  CHECK(is_libc_module("/lib64/ld-linux-x86-64.so.2"));
}

TEST_CASE("the C++ runtime is known, also the copy that a wheel carries", "[module_kind]") {
  check_all(ModuleKind::kCxxRuntime,
            {"/usr/lib/libstdc++.so.6", "libstdc++.so.6.0.30", "libstdc++-1f1a71be.so.6.0.33",
             "libc++.so.1", "libc++.so", "libc++abi.so.1.0", "libgcc_s.so.1",
             "libgcc_s-8c2f1de4.so.1"});
  check_all(ModuleKind::kOther, {"libc++demo.so", "libstdc++fs_tools.so", "libgcc_start.so"});
  CHECK(is_runtime_module("libstdc++.so.6"));
  CHECK(is_runtime_module("libc.so.6"));
  CHECK_FALSE(is_libc_module("libc++.so.1"));
}

TEST_CASE("Python is the interpreter, not what was written for it", "[module_kind]") {
  check_all(ModuleKind::kPython,
            {"/usr/bin/python3.11", "python", "python3", "python2.7", "python3.13t", "python3.11d",
             "python3-dbg", "python3.11-dbg", "/usr/lib/libpython3.11.so.1.0", "libpython3.so",
             "libpython3.13t.so.1.0", "libpython3.7m.so.1.0", "libpython3.12-0a1b2c3d.so.1.0"});
  check_all(ModuleKind::kOther,
            {"python_magic.so", "pythonic.cpython-311-x86_64-linux-gnu.so", "python3-config",
             "libpython_support.so", "libboost_python311.so.1.74.0", "pypy3.9",
             "_socket.cpython-311-x86_64-linux-gnu.so", "python3.11.py"});
}

TEST_CASE("a library is known by its stem, whatever its version", "[module_kind]") {
  for (const char* path : {"/usr/lib/libgomp.so.1", "libgomp.so.1.0.0", "libgomp-a34b3233.so.1.0.0"}) {
    INFO(path);
    CHECK(is_library(path, "libgomp"));
  }
  for (const char* path : {"libgomp-plugin-nvptx.so.1", "libgomp2.so.1", "libgomp", "libgomp.so.x"}) {
    INFO(path);
    CHECK_FALSE(is_library(path, "libgomp"));
  }
}

TEST_CASE("musl is told from glibc by its files", "[module_kind]") {
  for (const char* path : {"/lib/ld-musl-x86_64.so.1", "/usr/lib/x86_64-linux-musl/libc.so",
                           "/lib/libc.musl-aarch64.so.1"}) {
    INFO(path);
    CHECK(is_musl(path));
  }
  for (const char* path : {"/lib/libc.so.6", "/lib/libc-2.31.so", "/lib64/ld-linux-x86-64.so.2"}) {
    INFO(path);
    CHECK_FALSE(is_musl(path));
  }
}
