// What is to be injected, as library and command read it from the same text (inject.def has the
// grammar's words).
//
// Fixed-size values; the parser allocates nothing and calls nothing, so that it can run before libc
// is set up. Pure; thread-safe, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forkscope {

enum class InjectAction : std::uint8_t {
#define FORKSCOPE_INJECT(id, point, action, value, keys, required, example, help) id,
#include "detector/record/inject.def"
};
enum class InjectResult : std::uint8_t {
#define FORKSCOPE_INJECT_RESULT(id, word, help) id,
#include "detector/record/inject.def"
};
/// What the child of a probe was at.
enum class InjectProbed : std::uint8_t {
#define FORKSCOPE_INJECT_PROBED(id, word, allocates) id,
#include "detector/record/inject.def"
};
enum class InjectValue : std::uint8_t { kNone, kErrno, kTime, kOptionalTime };
enum class InjectWhere : std::uint8_t { kBefore, kChild, kParent };

namespace inject_keys {
enum Bits : std::uint32_t {
  kLock = 1,
  kFunction = 2,
  kWait = 4,
  kNth = 8,
  kEvery = 16,
  kProbability = 32,
  kWhere = 64,
  kLimit = 128,
  kWhen = kNth | kEvery | kProbability,
};
}  // namespace inject_keys

struct InjectActionFacts {
  const char* point;
  const char* action;
  InjectValue value;
  std::uint32_t keys, required;
  const char* example;
  const char* help;
};
struct InjectKeyFacts {
  std::uint32_t key;
  const char* name;
  const char* value;
  const char* help;
};
struct InjectErrno {
  const char* point;
  const char* name;
  int number;
};
struct InjectResultFacts {
  const char* word;
  const char* help;
};
struct InjectProbedFacts {
  const char* word;
  bool allocates;
};

/// The tables, in the order of inject.def.
const InjectActionFacts& facts_of(InjectAction action);
const InjectResultFacts& facts_of(InjectResult result);
std::size_t inject_action_count();
std::size_t inject_result_count();
const InjectProbedFacts& facts_of(InjectProbed probed);
std::size_t inject_probed_count();
struct InjectKeyTable {
  const InjectKeyFacts* first;
  std::size_t count;
};
InjectKeyTable inject_key_table();
struct InjectErrnoTable {
  const InjectErrno* first;
  std::size_t count;
};
InjectErrnoTable inject_errno_table();

inline constexpr std::uint64_t kDefaultInjectWait = 1'000'000'000;  ///< nanoseconds
inline constexpr std::uint32_t kDefaultProbes = 100;
inline constexpr std::uint64_t kDefaultSlowStart = 10'000'000;
inline constexpr std::uint64_t kLongestInjectTime = 3600u * 1'000'000'000ull;
inline constexpr std::uint32_t kSurely = 1'000'000'000;  ///< probabilities are so many parts of 1

/// One --inject.
struct Injection {
  InjectAction action = InjectAction::kForkWhileHeld;
  InjectWhere where = InjectWhere::kBefore;
  std::uint32_t keys = 0;  ///< that were given, inject_keys
  int error = 0;           ///< fail=ERRNO
  std::uint32_t nth = 0, every = 0;
  std::uint32_t limit = kDefaultProbes;
  std::uint32_t probability = kSurely;
  std::uint64_t time = 0;                   ///< hold=T and the like, nanoseconds
  std::uint64_t wait = kDefaultInjectWait;  ///< nanoseconds
  char lock[160] = "";
  char function[64] = "";
  char text[256] = "";  ///< as it was given
};
inline constexpr std::size_t kMaxInjections = 16;

/// Where a text is no injection, and what was expected there.
struct InjectError {
  std::size_t position = 0;  ///< of the offending part, from 1
  char message[512] = "";    ///< one sentence, with the position
};

/// Reads `point:action[=value][,key=value...]`; a backslash takes a comma or backslash in a value
/// literally. Returns false and fills `error` at the first mistake.
bool parse_injection(const char* text, Injection& into, InjectError& error);

/// Whether all of `text` is `pattern`, where * stands for any characters and ? for one.
bool inject_matches(const char* pattern, const char* text);

/// A decimal number of 64 bits; false for anything else.
bool parse_seed(const char* text, std::uint64_t& into);

}  // namespace forkscope
