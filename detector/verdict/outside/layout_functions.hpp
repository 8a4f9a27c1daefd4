// The functions that wait for locks, by name, and what each waits for. Part of layout_hint.cpp;
// pure, thread-safe.
#pragma once

#include <string_view>

#include "detector/verdict/outside/layout_hint.hpp"

namespace forkscope::layout {

enum class Match {
  kName,   ///< the whole of plain_name()
  kRaw,    ///< the whole name as it is: without its underscores it is a word anybody uses
  kStart,  ///< the beginning: paths of Rust, whose functions may have such types as parameters
  kPart,   ///< anywhere: C++ and Rust, whose names have return types and changing paths
};

struct Known {
  std::string_view name;
  Match match;
  LockFamily first;
  Families families;
  const char* type = "";
  /// It calls functions of the program, which may wait for anything: only the innermost named
  /// function counts.
  bool calls_back = false;
};

/// The entry of a function, null when it is not one of them. Innermost on the stack wins, so what
/// is built on something else is there as the thing itself.
const Known* known(std::string_view function);

}  // namespace forkscope::layout
