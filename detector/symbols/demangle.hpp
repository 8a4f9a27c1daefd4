// Linker names to the names people write: C++ (Itanium ABI), Rust legacy and Rust v0, D.
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace forkscope {

/// The demangled name; anything that is not a mangled name comes back as it is, without a symbol
/// version ("@GLIBC_2.34") and without compiler suffixes such as ".constprop.0".
std::string demangle(std::string_view name);

/// Whether it is a linker name of one of those languages.
inline bool is_mangled(std::string_view name) {
  return name.starts_with("_Z") || name.starts_with("_R") || name.starts_with("_D");
}

/// A Rust v0 name ("_R..."), without crate hashes; nothing when it is not a well-formed one.
/// https://doc.rust-lang.org/rustc/symbol-mangling/v0.html
std::optional<std::string> demangle_rust_v0(std::string_view name);

/// The qualified name of a D symbol ("_D..."), without types: "core.sync.mutex.Mutex.lock"; nothing
/// when it is none.
std::optional<std::string> demangle_d(std::string_view name);

}  // namespace forkscope
