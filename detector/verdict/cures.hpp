// What to change, in the words of the program's own language. Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/record/record.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

enum class Runtime { kNative, kPython, kRuby, kNode, kOpenMp, kGo };

/// Decided by the executable's name and the modules that recorded addresses lie in. An interpreter
/// wins over OpenMP: who writes Python can change the Python. Never kGo, which only a stack tells.
Runtime runtime_of(const std::string& executable, const std::vector<ModuleRecord>& modules);

struct CureFacts {
  Runtime runtime = Runtime::kNative;
  record::Kind kind = record::Kind::kOrphanedLock;
  record::LockType lock_type = record::LockType::kUnknown;
  record::Evidence evidence = record::Evidence::kOwnerWord;
  bool compares_owner = false;  ///< the lock asks for the caller's thread id
  std::string advice;           ///< "MADV_DONTFORK", of missing memory
  LockInfo lock;
  std::string executable;
  std::string libc_cure;  ///< of a call of libc, for programs in C and C++
};

std::string cure_for(const CureFacts& facts);

/// For programs in C and C++. cures_native.cpp.
std::string native_cure(const CureFacts& facts);

}  // namespace forkscope
