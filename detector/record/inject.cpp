// The tables of inject.def, and the parser. Compiled into the library and into the command.
#include "detector/record/inject.hpp"

#include <cerrno>
#include <iterator>

namespace forkscope {

namespace {

using namespace inject_keys;

constexpr InjectActionFacts kActions[] = {
#define FORKSCOPE_INJECT(id, point, action, value, keys, required, example, help) \
  {point, action, InjectValue::value, keys, required, example, help},
#include "detector/record/inject.def"
};
constexpr InjectKeyFacts kKeys[] = {
#define FORKSCOPE_INJECT_KEY(id, name, value, help) {id, name, value, help},
#include "detector/record/inject.def"
};
constexpr InjectErrno kErrnos[] = {
#define FORKSCOPE_INJECT_ERRNO(point, error) {point, #error, error},
#include "detector/record/inject.def"
};
constexpr InjectResultFacts kResults[] = {
#define FORKSCOPE_INJECT_RESULT(id, word, help) {word, help},
#include "detector/record/inject.def"
};
constexpr InjectProbedFacts kProbed[] = {
#define FORKSCOPE_INJECT_PROBED(id, word, allocates) {word, allocates},
#include "detector/record/inject.def"
};

bool equal(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

/// A sentence that is put together in place; what does not fit is cut off.
class Sentence {
 public:
  explicit Sentence(InjectError& error) : error_(error) {}
  Sentence& operator<<(const char* text) {
    for (; *text != '\0' && at_ + 1 < sizeof error_.message; ++text) error_.message[at_++] = *text;
    error_.message[at_] = '\0';
    return *this;
  }
  Sentence& operator<<(std::size_t number) {
    char digits[24];
    std::size_t count = 0;
    do digits[count++] = char('0' + number % 10);
    while ((number /= 10) != 0);
    char text[24];
    for (std::size_t i = 0; i < count; ++i) text[i] = digits[count - 1 - i];
    text[count] = '\0';
    return *this << text;
  }

 private:
  InjectError& error_;
  std::size_t at_ = 0;
};

/// A part of the text: a name or, unescaped, a value.
struct Part {
  char text[256];
  std::size_t position = 0;  ///< in the whole, from 0
  std::size_t size = 0;
};

class Parser {
 public:
  Parser(const char* text, Injection& into, InjectError& error)
      : text_(text), into_(into), error_(error) {}

  bool run() {
    into_ = {};
    std::size_t length = 0;
    for (; text_[length] != '\0'; ++length)
      if (length + 1 >= sizeof into_.text) {
        fail(length) << "expected its end: an injection has at most " << sizeof into_.text - 1
                     << " characters";
        return false;
      }
    for (std::size_t i = 0; i <= length; ++i) into_.text[i] = text_[i];
    return point() && keys() && complete();
  }

 private:
  Sentence fail(std::size_t position) {
    error_.position = position + 1;
    Sentence sentence(error_);
    sentence << "at character " << position + 1 << ": ";
    return sentence;
  }

  Part name(const char* stops) {
    Part part;
    part.position = at_;
    for (; text_[at_] != '\0'; ++at_) {
      for (const char* stop = stops; *stop != '\0'; ++stop)
        if (text_[at_] == *stop) {
          part.text[part.size] = '\0';
          return part;
        }
      part.text[part.size++] = text_[at_];  // no longer than the whole
    }
    part.text[part.size] = '\0';
    return part;
  }

  Part value() {
    Part part;
    part.position = at_;
    for (; text_[at_] != '\0' && text_[at_] != ','; ++at_) {
      if (text_[at_] == '\\' && (text_[at_ + 1] == ',' || text_[at_ + 1] == '\\')) ++at_;
      part.text[part.size++] = text_[at_];
    }
    part.text[part.size] = '\0';
    return part;
  }

  static bool is_first_of_its_point(std::size_t index) {
    for (std::size_t i = 0; i < index; ++i)
      if (equal(kActions[i].point, kActions[index].point)) return false;
    return true;
  }

  bool point() {
    const Part point = name(":,=");
    bool known = false;
    for (const InjectActionFacts& one : kActions) known = known || equal(one.point, point.text);
    if (!known) {
      Sentence sentence = fail(point.position);
      sentence << "'" << point.text << "' is no point; expected one of";
      for (std::size_t i = 0; i < std::size(kActions); ++i)
        if (is_first_of_its_point(i)) sentence << (i == 0 ? " " : ", ") << kActions[i].point;
      return false;
    }
    if (text_[at_] != ':') {
      list_actions(fail(at_) << "expected ':' and an action of " << point.text << ":", point.text);
      return false;
    }
    ++at_;
    return action(point.text);
  }

  static void list_actions(Sentence sentence, const char* point) {
    const char* separator = " ";
    for (const InjectActionFacts& one : kActions) {
      if (!equal(one.point, point)) continue;
      sentence << separator << one.action;
      if (one.value == InjectValue::kErrno) sentence << "=ERRNO";
      if (one.value == InjectValue::kTime) sentence << "=T";
      separator = ", ";
    }
  }

  bool action(const char* point) {
    const Part action = name(",=");
    for (std::size_t i = 0; i < std::size(kActions); ++i) {
      if (!equal(kActions[i].point, point) || !equal(kActions[i].action, action.text)) continue;
      facts_ = &kActions[i];
      into_.action = InjectAction(i);
      return action_value();
    }
    list_actions(fail(action.position)
                     << "'" << action.text << "' is no action of " << point << "; expected one of",
                 point);
    return false;
  }

  bool action_value() {
    const bool given = text_[at_] == '=';
    if (facts_->value == InjectValue::kNone) {
      if (given) {
        fail(at_) << "expected ',' or the end: " << facts_->action << " takes no value";
        return false;
      }
      return true;
    }
    if (!given && facts_->value == InjectValue::kOptionalTime) {
      into_.time = kDefaultSlowStart;
      return true;
    }
    if (!given) {
      fail(at_) << "expected " << facts_->action
                << (facts_->value == InjectValue::kErrno ? "=ERRNO" : "=T") << ", as in "
                << facts_->example;
      return false;
    }
    ++at_;
    const Part part = value();
    if (facts_->value == InjectValue::kErrno) return error_number(part);
    return time(part, into_.time);
  }

  bool error_number(const Part& part) {
    for (const InjectErrno& one : kErrnos)
      if (equal(one.point, facts_->point) && equal(one.name, part.text)) {
        into_.error = one.number;
        return true;
      }
    Sentence sentence = fail(part.position);
    sentence << "'" << part.text << "' is no error of " << facts_->point << "; expected one of";
    const char* separator = " ";
    for (const InjectErrno& one : kErrnos) {
      if (!equal(one.point, facts_->point)) continue;
      sentence << separator << one.name;
      separator = ", ";
    }
    return false;
  }

  /// Digits, and after a point as many of nine as there are; false if there is none at all.
  static bool decimal(const char*& at, std::uint64_t& whole, std::uint64_t& billionths) {
    whole = billionths = 0;
    bool any = false;
    for (; *at >= '0' && *at <= '9'; ++at, any = true) {
      if (whole > 1'000'000'000'000ull) return false;
      whole = whole * 10 + std::uint64_t(*at - '0');
    }
    if (*at != '.') return any;
    std::uint64_t scale = 100'000'000;
    for (++at; *at >= '0' && *at <= '9'; ++at, any = true) {
      billionths += scale * std::uint64_t(*at - '0');
      scale /= 10;
    }
    return any;
  }

  bool time(const Part& part, std::uint64_t& into) {
    struct Unit {
      const char* name;
      std::uint64_t nanoseconds;
    };
    constexpr Unit kUnits[] = {{"", 1'000'000'000},   {"s", 1'000'000'000},
                               {"ms", 1'000'000},     {"us", 1'000},
                               {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};
    const char* at = part.text;
    std::uint64_t whole = 0, billionths = 0;
    if (decimal(at, whole, billionths))
      for (const Unit& unit : kUnits) {
        if (!equal(unit.name, at)) continue;
        if (whole > kLongestInjectTime / unit.nanoseconds) break;
        // Not in one product: an hour times a billion does not fit.
        const std::uint64_t rest = unit.nanoseconds >= 1'000'000'000
                                       ? billionths * (unit.nanoseconds / 1'000'000'000)
                                       : billionths / (1'000'000'000 / unit.nanoseconds);
        into = whole * unit.nanoseconds + rest;
        if (into > 0 && into <= kLongestInjectTime) return true;
      }
    fail(part.position) << "'" << part.text
                        << "' is no time; expected one up to 1h, as in 10, 1.5s, 500ms, 20us or 2m";
    return false;
  }

  bool number(const Part& part, std::uint32_t& into) {
    const char* at = part.text;
    std::uint64_t whole = 0, billionths = 0;
    if (*at >= '0' && *at <= '9' && decimal(at, whole, billionths) && *at == '\0' &&
        part.text[part.size - 1] != '.' && billionths == 0 && whole > 0 && whole <= 1'000'000'000) {
      into = std::uint32_t(whole);
      return true;
    }
    fail(part.position) << "'" << part.text
                        << "' is no count; expected a whole number from 1 to 1,000,000,000";
    return false;
  }

  bool probability(const Part& part) {
    const char* at = part.text;
    std::uint64_t whole = 0, billionths = 0;
    if (decimal(at, whole, billionths) && *at == '\0' && whole * kSurely + billionths > 0 &&
        whole * kSurely + billionths <= kSurely) {
      into_.probability = std::uint32_t(whole * kSurely + billionths);
      return true;
    }
    fail(part.position) << "'" << part.text
                        << "' is no probability; expected more than 0 and at most 1, as in 0.05";
    return false;
  }

  template <std::size_t N>
  bool pattern(const Part& part, char (&into)[N]) {
    if (part.size == 0 || part.size >= N) {
      fail(part.position) << "expected a pattern of 1 to " << N - 1 << " characters";
      return false;
    }
    for (std::size_t i = 0; i <= part.size; ++i) into[i] = part.text[i];
    return true;
  }

  bool keys() {
    while (text_[at_] == ',') {
      ++at_;
      if (!key()) return false;
    }
    return true;
  }

  bool key() {
    const Part key = name(",=");
    const InjectKeyFacts* found = nullptr;
    for (const InjectKeyFacts& one : kKeys)
      if ((facts_->keys & one.key) != 0 && equal(one.name, key.text)) found = &one;
    if (found == nullptr) {
      Sentence sentence = fail(key.position);
      sentence << "'" << key.text << "' is no key of " << facts_->point << ":" << facts_->action
               << "; expected one of";
      const char* separator = " ";
      for (const InjectKeyFacts& one : kKeys) {
        if ((facts_->keys & one.key) == 0) continue;
        sentence << separator << one.name;
        separator = ", ";
      }
      return false;
    }
    if (text_[at_] != '=') {
      fail(at_) << "expected =" << found->value << " after " << found->name;
      return false;
    }
    if ((into_.keys & found->key) != 0) {
      fail(key.position) << "expected another key: " << found->name << " was given before";
      return false;
    }
    if ((found->key & kWhen) != 0 && (into_.keys & kWhen) != 0) {
      fail(key.position) << "expected only one of nth, every and p";
      return false;
    }
    ++at_;
    into_.keys |= found->key;
    return key_value(found->key, value());
  }

  bool key_value(std::uint32_t key, const Part& part) {
    switch (key) {
      case kLock:
        return pattern(part, into_.lock);
      case kFunction:
        return pattern(part, into_.function);
      case kWait:
        return time(part, into_.wait);
      case kNth:
        return number(part, into_.nth);
      case kEvery:
        return number(part, into_.every);
      case kLimit:
        return number(part, into_.limit);
      case kProbability:
        return probability(part);
      default:
        return where(part);
    }
  }

  bool where(const Part& part) {
    constexpr const char* kWheres[] = {"before", "child", "parent"};
    for (std::size_t i = 0; i < std::size(kWheres); ++i)
      if (equal(kWheres[i], part.text)) {
        into_.where = InjectWhere(i);
        return true;
      }
    fail(part.position) << "'" << part.text << "' is no place; expected before, child or parent";
    return false;
  }

  bool complete() {
    for (const InjectKeyFacts& one : kKeys)
      if ((facts_->required & ~into_.keys & one.key) != 0) {
        fail(at_) << "expected ," << one.name << "=" << one.value << ", as in " << facts_->example;
        return false;
      }
    return true;
  }

  const char* text_;
  Injection& into_;
  InjectError& error_;
  std::size_t at_ = 0;
  const InjectActionFacts* facts_ = nullptr;
};

}  // namespace

const InjectActionFacts& facts_of(InjectAction action) { return kActions[std::size_t(action)]; }
const InjectResultFacts& facts_of(InjectResult result) { return kResults[std::size_t(result)]; }
const InjectProbedFacts& facts_of(InjectProbed probed) { return kProbed[std::size_t(probed)]; }
std::size_t inject_probed_count() { return std::size(kProbed); }
std::size_t inject_action_count() { return std::size(kActions); }
std::size_t inject_result_count() { return std::size(kResults); }
InjectKeyTable inject_key_table() { return {kKeys, std::size(kKeys)}; }
InjectErrnoTable inject_errno_table() { return {kErrnos, std::size(kErrnos)}; }

bool parse_injection(const char* text, Injection& into, InjectError& error) {
  return Parser(text, into, error).run();
}

bool inject_matches(const char* pattern, const char* text) {
  // Where the last * was, and how much of the text it has taken so far.
  const char *star = nullptr, *taken = nullptr;
  while (*text != '\0') {
    if (*pattern == '*') {
      star = pattern++;
      taken = text;
    } else if (*pattern != '\0' && (*pattern == '?' || *pattern == *text)) {
      ++pattern, ++text;
    } else if (star != nullptr) {
      pattern = star + 1;
      text = ++taken;
    } else {
      return false;
    }
  }
  while (*pattern == '*') ++pattern;
  return *pattern == '\0';
}

bool parse_seed(const char* text, std::uint64_t& into) {
  if (*text == '\0') return false;
  std::uint64_t value = 0;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    const auto digit = std::uint64_t(*text - '0');
    if (value > (~std::uint64_t{0} - digit) / 10) return false;
    value = value * 10 + digit;
  }
  into = value;
  return true;
}

}  // namespace forkscope
