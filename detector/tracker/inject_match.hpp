// Whether a lock is one that lock=GLOB means: by its type, address or name, by the variable or the
// module it lies in, or by a function or the module that takes it.
//
// Names of variables and functions come from the objects' own files: of each object that a lock or
// a caller lies in, the symbol table is read once, when it is first met, and the address ranges
// that a pattern matches are kept. Nobody is asked: it works without the command, for what dlopen
// brings, and in whatever program the tree executes. Raw system calls and private memory only:
// thread-safe, async-signal-safe, safe in a forked child.
#pragma once

#include <cstdint>

#include "detector/record/record.hpp"

namespace forkscope::inject {

struct Locked {
  const void* lock;
  record::LockType type;
  std::uint8_t flags;
  const void* caller;  ///< return address of the call that takes it
};

void init_match();

/// One bit for each injection of the options that is about this lock.
std::uint32_t match(const Locked& locked);

/// The bits of fork:while-held.
std::uint32_t while_held_injections();

}  // namespace forkscope::inject
