// What to change, in the words of the program's own language: chosen by that, by who owns the lock
// or the threads that are missed, and by what that owner offers. Pure functions; thread-safe.
#pragma once

#include <string>

#include "detector/record/record.hpp"
#include "detector/verdict/report.hpp"
#include "detector/verdict/runtime.hpp"

namespace forkscope {

struct CureFacts {
  Runtime runtime = Runtime::kNative;
  OwnedBy owner{};
  record::Kind kind = record::Kind::kOrphanedLock;
  record::LockType lock_type = record::LockType::kUnknown;
  record::Evidence evidence = record::Evidence::kOwnerWord;
  bool compares_owner = false;  ///< the lock asks for the caller's thread id
  std::string advice{};         ///< "MADV_DONTFORK", of missing memory
  LockInfo lock{};
  std::string libc_cure{};  ///< of a call of libc, for native programs
};

/// With what a finding tells, whoever made it: runtime, owner and lock.
CureFacts cure_facts_of(const Finding& finding, const std::string& executable, record::Kind kind);

std::string cure_for(const CureFacts& facts);

/// For programs in C and C++. cures_native.cpp.
std::string native_cure(const CureFacts& facts);
/// For programs in Rust. cures_rust.cpp.
std::string rust_cure(const CureFacts& facts);
/// What a library has to offer for forks by its own documentation, a sentence; empty for most.
std::string library_offer(const std::string& path);

}  // namespace forkscope
