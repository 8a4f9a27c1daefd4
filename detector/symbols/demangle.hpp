// Linker names to the names people write: C++ (Itanium ABI), Rust legacy and Rust v0.
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace forkscope {

/// The demangled name; anything that is not a mangled name comes back as it is, without a symbol
/// version ("@GLIBC_2.34") and without compiler suffixes such as ".constprop.0".
std::string demangle(std::string_view name);

/// A Rust v0 name ("_R..."), without crate hashes; nothing when it is not a well-formed one.
/// https://doc.rust-lang.org/rustc/symbol-mangling/v0.html
std::optional<std::string> demangle_rust_v0(std::string_view name);

}  // namespace forkscope
