// FORKSCOPE_OPTIONS: the options of the preload library, parsed alike by library and command.
// Header-only but for inject.cpp; allocates nothing, calls nothing, so that it can run before libc
// is set up.
#pragma once

#include <cstddef>

#include "detector/record/inject.hpp"

namespace forkscope {

enum class OnDeadlock : unsigned char { kReport, kKill, kAbort, kExit, kBreak };

struct Options {
  char session[1024] = "";
  OnDeadlock on_deadlock = OnDeadlock::kReport;
  int exit_status = 0;  ///< with kExit
  bool log_stderr = true;
  bool unsafe_calls = true;
  bool check_descriptors = false;
  bool learn = false;
  std::uint64_t seed = 1;  ///< of what is injected
  std::size_t injections = 0;
  Injection inject[kMaxInjections] = {};
};

/// What is wrong with a text, as one sentence without the name of the variable.
struct OptionError {
  char message[1024] = "";
};

namespace options_detail {

/// A name or value cut out of the text, unescaped.
struct Word {
  char text[1024];
  std::size_t size = 0;
  bool add(char c) {
    if (size + 1 >= sizeof text) return false;
    text[size++] = c;
    return true;
  }
  void end() { text[size] = '\0'; }
};

constexpr bool equal(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

inline void join(OptionError& error, const char* const* parts, std::size_t count) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; ++i)
    for (const char* c = parts[i]; *c != '\0' && at + 1 < sizeof error.message; ++c)
      error.message[at++] = *c;
  error.message[at] = '\0';
}

/// A decimal 0..255; -1 when it is none.
inline int exit_number(const char* text) {
  int value = 0;
  if (*text == '\0') return -1;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return -1;
    value = value * 10 + (*text - '0');
    if (value > 255) return -1;
  }
  return value;
}

inline bool parse_on_deadlock(const char* value, Options& options) {
  if (equal(value, "report"))
    options.on_deadlock = OnDeadlock::kReport;
  else if (equal(value, "kill"))
    options.on_deadlock = OnDeadlock::kKill;
  else if (equal(value, "abort"))
    options.on_deadlock = OnDeadlock::kAbort;
  else if (equal(value, "break"))
    options.on_deadlock = OnDeadlock::kBreak;
  else {
    const char* prefix = "exit:";
    while (*prefix != '\0' && *value == *prefix) ++prefix, ++value;
    int status = *prefix == '\0' ? exit_number(value) : -1;
    if (status < 0) return false;
    options.on_deadlock = OnDeadlock::kExit;
    options.exit_status = status;
  }
  return true;
}

/// Each `inject` adds one; an empty one takes those before it back.
inline bool add_injection(const Word& value, Options& options, OptionError& error) {
  if (value.size == 0) {
    options.injections = 0;
    return true;
  }
  if (options.injections == kMaxInjections) {
    const char* const parts[] = {"more than 16 of the option 'inject'"};
    join(error, parts, 1);
    return false;
  }
  InjectError wrong;
  if (parse_injection(value.text, options.inject[options.injections], wrong)) {
    ++options.injections;
    return true;
  }
  const char* const parts[] = {"inject '", value.text, "': ", wrong.message};
  join(error, parts, 4);
  return false;
}

inline bool is_option(const char* text, std::size_t size) {
  constexpr const char* kNames[] = {
#define FORKSCOPE_OPTION(option, initial, help) #option,
#include "detector/record/options.def"
#undef FORKSCOPE_OPTION
  };
  for (const char* name : kNames) {
    std::size_t i = 0;
    while (i < size && name[i] != '\0' && name[i] == text[i]) ++i;
    if (i == size && name[i] == '\0') return true;
  }
  return false;
}

inline bool set(const Word& name, const Word& value, Options& options, OptionError& error) {
  const char* expected = nullptr;
  if (equal(name.text, "session")) {
    for (std::size_t i = 0; i <= value.size; ++i) options.session[i] = value.text[i];
    return true;
  }
  if (equal(name.text, "on_deadlock")) {
    if (parse_on_deadlock(value.text, options)) return true;
    expected = "report, kill, abort, exit:N with N from 0 to 255, or break";
  } else if (equal(name.text, "unsafe_calls")) {
    options.unsafe_calls = equal(value.text, "on");
    if (options.unsafe_calls || equal(value.text, "off")) return true;
    expected = "on or off";
  } else if (equal(name.text, "check")) {
    options.check_descriptors = equal(value.text, "descriptors");
    if (options.check_descriptors || equal(value.text, "none")) return true;
    expected = "descriptors or none";
  } else if (equal(name.text, "learn")) {
    options.learn = equal(value.text, "on");
    if (options.learn || equal(value.text, "off")) return true;
    expected = "on or off";
  } else if (equal(name.text, "inject")) {
    return add_injection(value, options, error);
  } else if (equal(name.text, "seed")) {
    if (parse_seed(value.text, options.seed)) return true;
    expected = "a whole number from 0 to 18446744073709551615";
  } else if (equal(name.text, "log")) {
    options.log_stderr = equal(value.text, "stderr");
    if (options.log_stderr || equal(value.text, "none")) return true;
    expected = "stderr or none";
  } else {
    const char* const parts[] = {"unknown option '", name.text, "'; the options are:"
#define FORKSCOPE_OPTION(option, initial, help) " " #option
#include "detector/record/options.def"
#undef FORKSCOPE_OPTION
    };
    join(error, parts, 3);
    return false;
  }
  const char* const parts[] = {"option '", name.text,      "' cannot be '",
                               value.text, "'; it takes ", expected};
  join(error, parts, 6);
  return false;
}

/// Whether the next option begins here: "exit:3" is one value, as no '=' follows before the end.
/// `known`: only if it is one that there is, for "fork:fail=EAGAIN" is one value, too.
inline bool starts_option(const char* text, bool known) {
  if (*text == '\0') return true;  // a trailing ':'
  const char* begin = text;
  for (; *text != '\0' && *text != ':'; ++text)
    if (*text == '=') return !known || is_option(begin, std::size_t(text - begin));
  return false;
}

}  // namespace options_detail

/// Parses `key=value:key=value` into `options` (later keys win). A ':' belongs to a value unless
/// another key= follows it; a backslash takes the ':' or '\' after it literally. Returns false and
/// fills `error` at the first mistake.
inline bool parse_options(const char* text, Options& options, OptionError& error) {
  using namespace options_detail;
  while (*text != '\0') {
    if (*text == ':') {
      ++text;
      continue;
    }
    Word name, value;
    bool fits = true;
    for (; *text != '\0' && *text != '=' && *text != ':'; ++text) fits = fits && name.add(*text);
    name.end();
    if (*text != '=') {
      const char* const parts[] = {"'", name.text, "' has no value; write key=value:key=value"};
      join(error, parts, 3);
      return false;
    }
    const bool injects = equal(name.text, "inject");
    for (++text; *text != '\0' && !(*text == ':' && starts_option(text + 1, injects)); ++text) {
      if (*text == '\\' && text[1] != '\0') ++text;
      fits = fits && value.add(*text);
    }
    value.end();
    if (!fits) {
      const char* const parts[] = {"option '", name.text, "' is longer than 1,023 characters"};
      join(error, parts, 3);
      return false;
    }
    if (!set(name, value, options, error)) return false;
  }
  return true;
}

}  // namespace forkscope
