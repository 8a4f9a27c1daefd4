// Which loaded object an address lies in, written down once per object as a Module record; again
// when another object, or none, is seen to lie at its addresses.
//
// By _dl_find_object (glibc 2.35): lock-free and async-signal-safe, so it works in a child that was
// forked in the middle of dlopen, without /proc, and after chroot. Thread-safe.
#pragma once

#include <cstdint>

namespace forkscope {

/// Makes sure the session knows the object that `address` lies in. Gives its first mapped address,
/// or 0 when the address is in none (heap, stack, code made at run time).
std::uint64_t note_module(std::uint64_t address);

/// The same for the lock of a finding. That it lies in no object is written down as well, for one may
/// have lain there in another process of the session.
std::uint64_t note_lock(std::uint64_t address);

/// note_module() for each of them.
void note_modules(const std::uint64_t* addresses, std::size_t count);

}  // namespace forkscope
