// What the function that waits says about the lock: the names on the stack as families. Part of
// lock_layout.cpp; pure, thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "detector/verdict/outside/lock_layout.hpp"

namespace forkscope::layout {

/// A set of families; empty: everything is possible.
class Families {
 public:
  constexpr Families() = default;
  constexpr Families(std::initializer_list<LockFamily> members) {
    for (LockFamily member : members) bits_ |= bit(member);
  }
  constexpr bool has(LockFamily family) const { return (bits_ & bit(family)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }

 private:
  static constexpr std::uint32_t bit(LockFamily family) { return 1u << unsigned(family); }
  std::uint32_t bits_ = 0;
};

/// What a hint comes to.
struct Reason {
  enum class From {
    kNothing,
    kModule,    ///< the module that waits builds only these
    kFunction,  ///< a function on the stack waits for nothing else
  } from = From::kNothing;
  Families families;                        ///< those it allows
  LockFamily first = LockFamily::kUnknown;  ///< the one it speaks of
  const char* type = "";                    ///< for people, when the bytes say no more
  bool through_syscall = false;  ///< made with libc's syscall(), which glibc itself never does
};

Reason reason(const WaitHint& hint);

/// A name as the tables have it: without leading underscores, what compilers append (".cold",
/// "@@GLIBC_2.34"), glibc's internal prefix, and the angle brackets of Rust paths.
std::string plain_name(std::string_view function);

}  // namespace forkscope::layout
