// The locks and events of libraries, known by the functions that wait for them: what a raw futex, a
// semaphore or a condition variable is there for when a library has built something on it. Nothing
// in such a word says who holds it, or whether it is a lock at all; who calls does.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "detector/record/record.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

enum class Purpose {
  kUnknown,
  kLock,   ///< nobody but its holder may release it
  kTaken,  ///< taken and released as a lock is, but anybody may release it (Python's lock)
  kEvent,  ///< somebody will cause it: a condition variable, a queue, the end of a thread
};

struct KnownWait {
  Purpose purpose = Purpose::kUnknown;
  std::string_view type{};  ///< for people: "GMutex", "Abseil CondVar"; empty: it has no such name
  /// The functions alone tell: of Python's locks what the Python code is that waits must be known.
  bool certain = true;

  /// Who waits for it waits for a holder.
  bool is_lock() const { return purpose == Purpose::kLock || purpose == Purpose::kTaken; }
};

/// What a thread with this stack (innermost frame first) waits for. The Python frames tell the locks
/// of CPython from what its threading module makes of them; without those they count as locks.
/// `raw_futex`: it made the system call itself, by syscall().
KnownWait known_wait(const std::vector<Frame>& stack, const std::vector<PythonFrame>& python,
                     bool raw_futex);

/// Whether a word of this type of lock may be part of something that a library has built: it does not
/// say whose it is.
bool may_be_built_on(record::LockType type);

/// The kind of finding that a wait for `known` is, where it was taken for `kind`. Of Python's locks
/// the C functions alone do not tell; there a guess by evidence stays.
record::Kind kind_of_known(record::Kind kind, const KnownWait& known);

/// A function's name as the table has it: without return type, parameters, template arguments, ABI
/// namespaces, leading underscores and what compilers and linkers append.
std::string bare_function(std::string_view function);

}  // namespace forkscope
