// What a loaded file is by its name: libc, the loader, the C++ runtime, the Python interpreter, or
// somebody's own. The only place that compares such names, for a prefix is not enough: libpthreadpool,
// librtmp, libc++, libcurl and libm4ri are no part of libc. Pure, async-signal-safe, thread-safe.
//
// Sources of the names: glibc's shlib-versions and Makerules (libc-2.31.so with a link libc.so.6
// before 2.34, libc.so.6 since), musl's Makefile (libc.so, which is its loader as well) and Alpine's
// APKBUILD (ld-musl-x86_64.so.1, libc.musl-x86_64.so.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace forkscope {

/// record::Module::bias of a record that says: what lay at these addresses does no longer, and
/// nothing else is loaded there. No module has it, for a bias is a multiple of the page size.
inline constexpr std::uint64_t kNothingLoaded = ~std::uint64_t{0};

enum class ModuleKind : std::uint8_t {
  kOther,
  kLibc,        ///< libc.so.6 and what glibc installs beside it: libpthread, librt, libm, libdl, ...
  kLoader,      ///< ld-linux; musl's is its libc too
  kCxxRuntime,  ///< libstdc++, libc++, libc++abi, and the unwinder libgcc_s
  kPython,      ///< CPython: its executable, or the library that it is embedded by
};

namespace module_name_parts {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes "12", "3.11" or "2.0.1" from the front; false when there is no digit.
constexpr bool take_version(std::string_view& text) {
  if (text.empty() || !is_digit(text.front())) return false;
  std::size_t end = 0;
  while (end < text.size() &&
         (is_digit(text[end]) || (text[end] == '.' && end + 1 < text.size() && is_digit(text[end + 1]))))
    ++end;
  text.remove_prefix(end);
  return true;
}

constexpr bool take(std::string_view& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}

/// ".so", ".so.6", ".so.6.0.30": all that is left.
constexpr bool is_suffix(std::string_view text) {
  if (!take(text, ".so")) return false;
  return text.empty() || (take(text, ".") && take_version(text) && text.empty());
}

/// "-1a2b3c4d", with which auditwheel names the copy of a library that a wheel carries.
constexpr bool take_hash(std::string_view& text) {
  constexpr std::size_t kDigits = 8;
  if (text.size() <= kDigits || text.front() != '-') return false;
  for (std::size_t i = 1; i <= kDigits; ++i)
    if (!is_digit(text[i]) && (text[i] < 'a' || text[i] > 'f')) return false;
  text.remove_prefix(1 + kDigits);
  return true;
}

/// File name of a path, without what the kernel appends when the file is gone.
constexpr std::string_view file_name(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  path.remove_prefix(path.rfind('/') + 1);  // substr() throws, and the tracker links only libc
  return path;
}

/// "libc.so.6", "libc-2.31.so"; not "libc-client.so".
constexpr bool is_of_glibc(std::string_view name, std::string_view stem) {
  if (!take(name, stem)) return false;
  if (is_suffix(name)) return true;
  if (!take(name, "-") || !name.starts_with("2.") || !take_version(name)) return false;
  return name == ".so";
}

constexpr bool is_libc(std::string_view name) {
  for (const std::string_view stem :
       {"libc", "libpthread", "librt", "libm", "libmvec", "libdl", "libanl", "libutil",
        "libresolv", "libnss_files", "libnss_dns", "libnss_compat"})
    if (is_of_glibc(name, stem)) return true;
  return name.starts_with("libc.musl-");
}

constexpr bool is_loader(std::string_view name) {
  for (const std::string_view stem : {"ld", "ld64"})
    if (is_of_glibc(name, stem)) return true;
  return (name.starts_with("ld-linux") || name.starts_with("ld-musl-")) &&
         name.find(".so") != std::string_view::npos;
}

/// "python3.11", "python3.13t", "python3-dbg", "libpython3.9.so.1.0"; not "python_magic.so".
constexpr bool is_python(std::string_view name) {
  const bool library = take(name, "lib");
  if (!take(name, "python")) return false;
  take_version(name);
  // Flags of the ABI: debug, pymalloc, wide characters, free threading.
  while (!name.empty() && std::string_view("dmut").find(name.front()) != std::string_view::npos)
    name.remove_prefix(1);
  take(name, "-dbg");
  if (!library) return name.empty();
  take_hash(name);
  return is_suffix(name);
}

}  // namespace module_name_parts

/// Whether the file is the library `stem` ("libgomp") of any version, also a wheel's own copy of it:
/// "libgomp.so.1", "libgomp-a34b3233.so.1.0.0"; not "libgomp-plugin-nvptx.so.1".
constexpr bool is_library(std::string_view path, std::string_view stem) {
  std::string_view name = module_name_parts::file_name(path);
  if (!module_name_parts::take(name, stem)) return false;
  module_name_parts::take_hash(name);
  return module_name_parts::is_suffix(name);
}

/// Of a path or a file name.
constexpr ModuleKind module_kind(std::string_view path) {
  const std::string_view name = module_name_parts::file_name(path);
  if (module_name_parts::is_libc(name)) return ModuleKind::kLibc;
  if (module_name_parts::is_loader(name)) return ModuleKind::kLoader;
  for (const std::string_view stem : {"libstdc++", "libc++", "libc++abi", "libgcc_s"})
    if (is_library(path, stem)) return ModuleKind::kCxxRuntime;
  if (module_name_parts::is_python(name)) return ModuleKind::kPython;
  return ModuleKind::kOther;
}

/// libc, its companions, or the loader.
constexpr bool is_libc_module(std::string_view path) {
  const ModuleKind kind = module_kind(path);
  return kind == ModuleKind::kLibc || kind == ModuleKind::kLoader;
}

constexpr bool is_cxx_runtime(std::string_view path) {
  return module_kind(path) == ModuleKind::kCxxRuntime;
}

/// Code that is no program's own, whatever the program is: libc, the loader, the C++ runtime.
constexpr bool is_runtime_module(std::string_view path) {
  return is_libc_module(path) || is_cxx_runtime(path);
}

/// musl, whose libc.so is no linker script, as glibc's is, but the library: only musl loads it.
constexpr bool is_musl(std::string_view path) {
  const std::string_view name = module_name_parts::file_name(path);
  return name == "libc.so" || name.starts_with("libc.musl-") || name.starts_with("ld-musl-");
}

}  // namespace forkscope
