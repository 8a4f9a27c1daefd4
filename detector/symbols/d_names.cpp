// D names, as far as they name something: "_D4core4sync5mutex5Mutex4lockMFZv" is a row of identifiers,
// each behind its length, and then a type, which is left out.
// https://dlang.org/spec/abi.html#name_mangling
#include "detector/symbols/demangle.hpp"

#include <cstdint>

namespace forkscope {
namespace {

constexpr int kMostIdentifiers = 64;

class Reader {
 public:
  explicit Reader(std::string_view name) : name_(name) {}

  std::optional<std::string> read() {
    std::string path;
    at_ = 2;  // "_D"
    for (int i = 0; i < kMostIdentifiers && at_ < name_.size(); ++i) {
      const auto part = identifier();
      if (!part) break;
      if (part->empty()) continue;
      path += (path.empty() ? "" : ".") + *part;
    }
    if (path.empty()) return std::nullopt;
    return path;
  }

 private:
  /// The next identifier; without one nothing, and what follows is a type.
  std::optional<std::string> identifier() {
    if (name_[at_] == 'Q') return back_reference();
    if (name_.substr(at_, 3) == "__T" || name_.substr(at_, 3) == "__U") {
      at_ += 3;
      auto instance = identifier();
      skip_arguments();
      return instance ? std::optional(*instance + "!(...)") : std::nullopt;
    }
    return of_length(at_);
  }

  /// A decimal length and so many characters. Moves `at` behind them.
  std::optional<std::string> of_length(std::size_t& at) {
    std::size_t length = 0, digits = at;
    while (digits < name_.size() && name_[digits] >= '0' && name_[digits] <= '9' &&
           length < name_.size())
      length = length * 10 + std::size_t(name_[digits++] - '0');
    if (digits == at || length > name_.size() - digits) return std::nullopt;
    std::string text(name_.substr(digits, length));
    at = digits + length;
    // Until 2018 the whole instance of a template had a length.
    if (text.starts_with("__T") || text.starts_with("__U")) {
      std::size_t inner = digits + 3;
      const auto instance = of_length(inner);
      if (instance) text = *instance + "!(...)";
      at = digits + length;
    }
    if (text.starts_with("__S")) return std::string();  // tells functions of one name apart
    return text;
  }

  /// How far back another identifier stands, base 26, the last digit in lower case.
  std::optional<std::string> back_reference() {
    const std::size_t start = at_++;
    std::uint64_t distance = 0;
    for (int digits = 0; at_ < name_.size() && digits < 8; ++digits) {
      const char c = name_[at_++];
      if (c >= 'A' && c <= 'Z') {
        distance = distance * 26 + std::uint64_t(c - 'A');
        continue;
      }
      if (c < 'a' || c > 'z') return std::nullopt;
      distance = distance * 26 + std::uint64_t(c - 'a');
      std::size_t there = start - distance;
      if (distance == 0 || distance > start) return std::nullopt;
      return of_length(there);
    }
    return std::nullopt;
  }

  /// To the 'Z' that ends the arguments of a template: of a type's own none stands alone before an
  /// identifier, but in function types, and then less is shown.
  void skip_arguments() {
    const std::size_t end = name_.find('Z', at_);
    at_ = end == std::string_view::npos ? name_.size() : end + 1;
  }

  std::string_view name_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<std::string> demangle_d(std::string_view name) {
  if (name == "_Dmain") return "D main";
  if (!name.starts_with("_D")) return std::nullopt;
  return Reader(name).read();
}

}  // namespace forkscope
