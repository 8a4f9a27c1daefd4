// What was proved of one process, told of another that hangs alike. Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope {

/// What differs between two children of one process that hang alike, with one thread each.
struct Likeness {
  std::int32_t pid = 0;
  std::string thread_name;
};

/// The finding made of `from`, as that of `to`.
Finding retold(Finding finding, const Likeness& from, const Likeness& to);

/// The same of the whole diagnosis. Age and command line are the other's own: the caller knows
/// them.
Diagnosis retold(Diagnosis diagnosis, const Likeness& from, const Likeness& to);

}  // namespace forkscope
