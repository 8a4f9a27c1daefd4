// What the program of a finding is written in, and whose the lock or the wait is: by that the cure
// is chosen. Pure functions of names that are in the finding already; thread-safe.
#pragma once

#include <string>

#include "detector/verdict/report.hpp"

namespace forkscope {

enum class Runtime {
  kNative,  ///< C, C++, or not known
  kOpenMp,  ///< the same, in code that OpenMP's runtime runs
  kRust,
  kD,
  kOcaml,
  kGo,
  kJvm,
  kDotnet,
  kPython,
  kRuby,
  kNode,
  kPhp,
  kPerl,
  kR,
};

/// Decided by the executable's name, and by the functions and modules on the stacks of waiter, fork
/// and acquisition, where the lock lies too: what is merely loaded has no part in the hang. An
/// interpreter wins over the native code it calls: who writes Python can change the Python.
Runtime runtime_of(const std::string& executable, const Finding& finding);

/// Who can do something about a lock, or about the threads that are waited for.
enum class Owner {
  kProgram,  ///< the executable's own code; also where nothing is known
  kLibrary,  ///< a shared library
  kRuntime,  ///< the standard library of a language: nobody can register handlers for its locks
};

struct OwnedBy {
  Owner owner = Owner::kProgram;
  std::string module{};  ///< path of the library
};

OwnedBy owner_of(const std::string& executable, const Finding& finding);

/// The libraries that OpenMP is made of.
bool is_openmp_module(const std::string& path);

}  // namespace forkscope
