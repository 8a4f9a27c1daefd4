#include "detector/symbols/demangle.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace forkscope {
namespace {

/// Legacy Rust names end in "::h" and a hash of 16 hexadecimal digits.
bool has_legacy_rust_hash(std::string_view name) {
  constexpr std::size_t kTail = 3 + 16;
  if (name.size() <= kTail || name.substr(name.size() - kTail, 3) != "::h") return false;
  return name.substr(name.size() - 16).find_first_not_of("0123456789abcdef") ==
         std::string_view::npos;
}

/// One "$...$" escape of a legacy Rust name; empty when it is none we know.
std::string unescape_legacy_rust(std::string_view code) {
  struct Escape {
    std::string_view code, text;
  };
  static constexpr Escape kEscapes[] = {{"LT", "<"}, {"GT", ">"}, {"RF", "&"}, {"BP", "*"},
                                        {"LP", "("}, {"RP", ")"}, {"C", ","},  {"SP", "@"}};
  for (const Escape& escape : kEscapes) {
    if (escape.code == code) return std::string(escape.text);
  }
  if (code.size() == 3 && code[0] == 'u') {  // $u20$ and the like: printable ASCII only
    const long value = std::strtol(std::string(code.substr(1)).c_str(), nullptr, 16);
    if (value >= 0x20 && value < 0x7f) return std::string(1, char(value));
  }
  return {};
}

std::string legacy_rust(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size();) {
    const bool starts_part = i == 0 || name.substr(i - 1, 1) == ":";
    if (starts_part && name.substr(i, 2) == "_$") {  // the underscore only makes an identifier
      ++i;
    } else if (name.substr(i, 2) == "..") {
      out += "::";
      i += 2;
    } else if (name[i] == '$') {
      const std::size_t end = name.find('$', i + 1);
      const std::string text = end == std::string_view::npos
                                   ? ""
                                   : unescape_legacy_rust(name.substr(i + 1, end - i - 1));
      if (text.empty()) {
        out += name[i++];
      } else {
        out += text;
        i = end + 1;
      }
    } else {
      out += name[i++];
    }
  }
  return out;
}

/// What GCC and LLVM append for clones of a function, of the same source line to a reader.
bool is_clone_word(std::string_view word) {
  static constexpr std::string_view kWords[] = {"constprop", "isra",       "part", "cold", "llvm",
                                                "lto_priv",  "localalias", "clone"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

/// Without ".constprop.0", ".isra.1", ".part.2", ".cold", ".llvm.123", and the ".0" of numbered local
/// statics. Other dots are part of a name: Go's are "runtime.m0" and "main.init.0".
std::string_view without_clone(std::string_view name) {
  for (std::size_t dot; (dot = name.rfind('.')) != std::string_view::npos && dot > 0;) {
    const std::string_view last = name.substr(dot + 1);
    if (is_clone_word(last)) {
      name = name.substr(0, dot);
      continue;
    }
    if (last.empty() || last.find_first_not_of("0123456789") != std::string_view::npos) break;
    const std::string_view front = name.substr(0, dot);
    const std::size_t before = front.rfind('.');
    if (before != std::string_view::npos && !is_clone_word(front.substr(before + 1))) break;
    name = front;
  }
  return name;
}

}  // namespace

std::string demangle(std::string_view name) {
  if (const std::size_t at = name.find('@'); at != std::string_view::npos && at > 0) {
    name = name.substr(0, at);
  }
  if (name.starts_with("_D")) {
    const std::string_view base = without_clone(name);
    return demangle_d(base).value_or(std::string(base));
  }
  if (!name.starts_with("_R") && !name.starts_with("_Z")) return std::string(without_clone(name));
  const std::string_view base = name.substr(0, name.find('.'));
  if (base.starts_with("_R")) {
    return demangle_rust_v0(base).value_or(std::string(name));
  }
  // Dots are part of legacy Rust names ("core..fmt"), so only a name without them loses its suffix.
  for (const std::string_view candidate : {name, base}) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(std::string(candidate).c_str(), nullptr, nullptr, &status), &std::free);
    if (!text) continue;
    std::string out(text.get());
    if (const std::size_t clone = out.find(" [clone "); clone != std::string::npos) {
      out.resize(clone);
    }
    if (has_legacy_rust_hash(out)) return legacy_rust(out.substr(0, out.size() - 19));
    return out;
  }
  return std::string(name);
}

}  // namespace forkscope
