// Demangler of Rust v0 names: a recursive descent over the grammar of RFC 2603. libstdc++ does not
// know them and libiberty is not otherwise needed. Names come from files of other people: depth,
// work and output are bounded (back references can grow a name exponentially), and a name that
// breaks the grammar is refused as a whole. Identifiers in Punycode stay as "punycode{...}".
#include <cstdint>

#include "detector/symbols/demangle.hpp"

namespace forkscope {
namespace {

constexpr int kMaxDepth = 200;
constexpr int kMaxWork = 100'000;
constexpr std::size_t kMaxOutput = 64 << 10;

/// Types with a letter of their own, empty for letters that are none.
std::string_view basic_type(char tag) {
  static constexpr std::string_view kTypes[26] = {
      "i8",    "bool", "char", "f64", "str",  "f32",  "",    "u8", "isize",
      "usize", "",     "i32",  "u32", "i128", "u128", "_",   "",   "",
      "i16",   "u16",  "()",   "...", "",     "i64",  "u64", "!"};
  return tag >= 'a' && tag <= 'z' ? kTypes[tag - 'a'] : std::string_view();
}

class V0 {
 public:
  explicit V0(std::string_view symbol) : in_(symbol) {}

  std::optional<std::string> run() {
    path(true);
    if (ok_ && pos_ < in_.size()) {  // the crate that instantiated it: parsed, not printed
      const std::size_t length = out_.size();
      path(true);
      out_.resize(std::min(length, out_.size()));
    }
    if (!ok_ || pos_ != in_.size()) return std::nullopt;
    return out_;
  }

 private:
  struct Identifier {
    std::string_view text;
    bool punycode = false;
    std::uint64_t disambiguator = 0;
  };

  /// Bounds recursion and work: every production that recurses holds one.
  struct Level {
    explicit Level(V0& parser) : p(parser) {
      if (++p.depth_ > kMaxDepth || ++p.work_ > kMaxWork) p.fail();
    }
    ~Level() { --p.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    V0& p;
  };

  void fail() { ok_ = false; }
  char peek() const { return ok_ && pos_ < in_.size() ? in_[pos_] : '\0'; }
  char next() {
    const char c = peek();
    if (c == '\0') {
      fail();
    } else {
      ++pos_;
    }
    return c;
  }
  bool eat(char c) {
    if (peek() != c) return false;
    ++pos_;
    return true;
  }
  void put(std::string_view text) {
    if (out_.size() + text.size() > kMaxOutput) return fail();
    if (ok_) out_ += text;
  }

  /// "_" is 0, "0_" is 1: base 62, offset by one.
  std::uint64_t base62() {
    if (eat('_')) return 0;
    std::uint64_t value = 0;
    for (;;) {
      const char c = next();
      std::uint64_t digit = 0;
      if (c == '_') break;
      if (c >= '0' && c <= '9') {
        digit = std::uint64_t(c - '0');
      } else if (c >= 'a' && c <= 'z') {
        digit = std::uint64_t(c - 'a') + 10;
      } else if (c >= 'A' && c <= 'Z') {
        digit = std::uint64_t(c - 'A') + 36;
      } else {
        fail();
        return 0;
      }
      if (value > (UINT64_MAX - digit) / 62) {
        fail();
        return 0;
      }
      value = value * 62 + digit;
    }
    if (value == UINT64_MAX) fail();
    return value + 1;
  }
  std::uint64_t optional62(char tag) {
    if (!eat(tag)) return 0;
    const std::uint64_t value = base62();
    if (value == UINT64_MAX) fail();
    return value + 1;
  }

  Identifier plain_identifier() {
    Identifier id;
    id.punycode = eat('u');
    std::uint64_t length = 0;
    if (peek() < '0' || peek() > '9') {
      fail();
    } else if (!eat('0')) {
      while (peek() >= '0' && peek() <= '9' && ok_) {
        length = length * 10 + std::uint64_t(next() - '0');
        if (length > in_.size()) fail();
      }
    }
    eat('_');
    if (!ok_ || length > in_.size() - pos_) {
      fail();
      return id;
    }
    id.text = in_.substr(pos_, length);
    pos_ += length;
    return id;
  }
  Identifier identifier() {
    const std::uint64_t disambiguator = optional62('s');
    Identifier id = plain_identifier();
    id.disambiguator = disambiguator;
    return id;
  }
  void put(const Identifier& id) {
    if (id.punycode) put("punycode{");
    put(id.text);
    if (id.punycode) put("}");
  }

  /// Runs `production` at an earlier place of the name. Only backwards, so it ends.
  template <class Production>
  void backref(Production production) {
    const std::size_t tag = pos_ - 1;
    const std::uint64_t target = base62();
    if (!ok_ || target >= tag) return fail();
    const std::size_t resume = pos_;
    pos_ = std::size_t(target);
    production();
    pos_ = resume;
  }

  void path(bool value) {
    const Level level(*this);
    if (!ok_) return;
    switch (next()) {
      case 'C':
        put(identifier());
        break;
      case 'N':
        nested(value);
        break;
      case 'M':
        impl_path();
        put("<");
        type();
        put(">");
        break;
      case 'X':
        impl_path();
        [[fallthrough]];
      case 'Y':
        put("<");
        type();
        put(" as ");
        path(false);
        put(">");
        break;
      case 'I':
        path(value);
        put(value ? "::<" : "<");
        list([this] { generic_argument(); });
        put(">");
        break;
      case 'B':
        backref([this, value] { path(value); });
        break;
      default:
        fail();
    }
  }

  void nested(bool value) {
    const char space = next();
    path(value);
    const Identifier id = identifier();
    if (space >= 'A' && space <= 'Z') {  // closures, shims: numbered, perhaps named
      put("::{");
      put(space == 'C' ? "closure" : space == 'S' ? "shim" : std::string_view(&space, 1));
      if (!id.text.empty()) {
        put(":");
        put(id);
      }
      put("#" + std::to_string(id.disambiguator) + "}");
    } else if (space >= 'a' && space <= 'z') {
      if (!id.text.empty()) {
        put("::");
        put(id);
      }
    } else {
      fail();
    }
  }

  /// Where an impl stands says nothing its type does not: parsed, not printed.
  void impl_path() {
    const std::size_t length = out_.size();
    optional62('s');
    path(false);
    out_.resize(std::min(length, out_.size()));
  }

  /// Items up to 'E', with commas.
  template <class Item>
  std::size_t list(Item item, std::string_view separator = ", ") {
    std::size_t count = 0;
    while (ok_ && !eat('E')) {
      if (count++ > 0) put(separator);
      item();
    }
    return count;
  }

  void generic_argument() {
    if (eat('L')) {
      lifetime(base62());
    } else if (eat('K')) {
      constant();
    } else {
      type();
    }
  }

  /// Lifetimes are de Bruijn indices into the enclosing binders; 0 is the erased one.
  void lifetime(std::uint64_t index) {
    if (index == 0) return put("'_");
    if (index > bound_) return fail();
    const std::uint64_t depth = bound_ - index;
    put("'");
    if (depth < 26) {
      put(std::string(1, char('a' + depth)));
    } else {
      put("_" + std::to_string(depth));
    }
  }

  template <class Body>
  void in_binder(Body body) {
    const std::uint64_t count = optional62('G');
    if (count > 1000) return fail();
    const std::uint64_t outer = bound_;
    if (count > 0) {
      put("for<");
      for (std::uint64_t i = 0; i < count && ok_; ++i) {
        if (i > 0) put(", ");
        ++bound_;
        lifetime(1);
      }
      put("> ");
    }
    body();
    bound_ = outer;
  }

  void reference(std::string_view prefix) {
    put(prefix);
    if (eat('L')) {
      if (const std::uint64_t index = base62(); index != 0) {
        lifetime(index);
        put(" ");
      }
    }
  }

  void type() {
    const Level level(*this);
    if (!ok_) return;
    const char tag = next();
    if (const std::string_view name = basic_type(tag); !name.empty()) return put(name);
    switch (tag) {
      case 'A':
        put("[");
        type();
        put("; ");
        constant();
        put("]");
        break;
      case 'S':
        put("[");
        type();
        put("]");
        break;
      case 'T': {
        put("(");
        if (list([this] { type(); }) == 1) put(",");
        put(")");
        break;
      }
      case 'R':
        reference("&");
        type();
        break;
      case 'Q':
        reference("&");
        put("mut ");
        type();
        break;
      case 'P':
        put("*const ");
        type();
        break;
      case 'O':
        put("*mut ");
        type();
        break;
      case 'F':
        in_binder([this] { function_type(); });
        break;
      case 'D':
        put("dyn ");
        in_binder([this] { list([this] { dyn_trait(); }, " + "); });
        if (!eat('L')) return fail();
        if (const std::uint64_t index = base62(); index != 0) {
          put(" + ");
          lifetime(index);
        }
        break;
      case 'B':
        backref([this] { type(); });
        break;
      default:
        --pos_;
        path(false);
    }
  }

  void function_type() {
    if (eat('U')) put("unsafe ");
    if (eat('K')) {
      put("extern \"");
      if (eat('C')) {
        put("C");
      } else {
        std::string abi(plain_identifier().text);
        for (char& c : abi) c = c == '_' ? '-' : c;
        put(abi);
      }
      put("\" ");
    }
    put("fn(");
    list([this] { type(); });
    put(")");
    if (!eat('u')) {
      put(" -> ");
      type();
    }
  }

  /// "Trait<T, Name = U>": associated types join the generic arguments, or open their own list.
  void dyn_trait() {
    path(false);
    bool open = !out_.empty() && out_.back() == '>';
    const bool had = open;
    while (ok_ && eat('p')) {
      if (open && had && out_.back() == '>') out_.pop_back();
      put(open ? ", " : "<");
      open = true;
      put(plain_identifier());
      put(" = ");
      type();
      if (had) put(">");
    }
    if (open && !had) put(">");
  }

  void constant() {
    const Level level(*this);
    if (!ok_) return;
    if (eat('B')) return backref([this] { constant(); });
    const char tag = next();
    if (tag == 'p') return put("_");
    if (std::string_view("ablmxsnijhtyoc").find(tag) == std::string_view::npos) return fail();
    const bool negative = eat('n');
    std::string digits;
    while (ok_ && !eat('_')) {
      const char c = next();
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return fail();
      digits += c;
    }
    if (!ok_) return;
    if (negative) put("-");
    if (digits.size() > 16) return put("0x" + digits);
    const std::uint64_t value = digits.empty() ? 0 : std::stoull(digits, nullptr, 16);
    if (tag == 'b') return put(value == 0 ? "false" : "true");
    if (tag == 'c' && value >= 0x20 && value < 0x7f) {
      return put("'" + std::string(1, char(value)) + "'");
    }
    if (tag == 'c') return put("'\\u{" + digits + "}'");
    put(std::to_string(value));
  }

  std::string_view in_;
  std::size_t pos_ = 0;
  std::string out_;
  std::uint64_t bound_ = 0;
  int depth_ = 0;
  int work_ = 0;
  bool ok_ = true;
};

}  // namespace

std::optional<std::string> demangle_rust_v0(std::string_view name) {
  if (!name.starts_with("_R")) return std::nullopt;
  name.remove_prefix(2);
  // A number here would be a version of the encoding later than 0.
  if (name.empty() || name[0] < 'A' || name[0] > 'Z') return std::nullopt;
  if (const std::size_t dot = name.find_first_of(".$"); dot != std::string_view::npos) {
    name = name.substr(0, dot);
  }
  return V0(name).run();
}

}  // namespace forkscope
