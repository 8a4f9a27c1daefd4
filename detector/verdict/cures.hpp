// What to change, in the words of the program's own language. Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/record/record.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

enum class Runtime { kNative, kPython, kRuby, kNode, kOpenMp };

/// Decided by the executable's name and the modules that recorded addresses lie in. An interpreter
/// wins over OpenMP: who writes Python can change the Python.
Runtime runtime_of(const std::string& executable, const std::vector<ModuleRecord>& modules);

std::string cure_for(Runtime runtime, record::Kind kind, const LockInfo& lock,
                     const std::string& executable);

}  // namespace forkscope
