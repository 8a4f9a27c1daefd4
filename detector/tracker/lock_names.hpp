// Names that the program gives its locks (forkscope/annotate.h), written down when a record
// mentions the lock. Thread-safe, async-signal-safe, safe in a forked child: the child reads its
// copy, in which a name is either whole or not there.
#pragma once

#include <cstdint>

namespace forkscope::lock_names {

/// Copies the first 47 bytes. One more than there is room for is not kept.
void set(const void* lock, const char* name);

/// The name it was given, if it has one.
bool copy(const void* lock, char (&into)[48]);

/// Initialised or destroyed: another lock may be there now.
void forget(const void* lock);

/// Makes sure the session knows the lock's name, if it has one, before a record of this process
/// that has its address.
void note(std::uint64_t lock);

}  // namespace forkscope::lock_names
