// fork:while-held: a fork that happens exactly while another thread has a lock.
//
// The forking thread writes down that it wants one, looks who has one, and else sleeps until
// somebody takes one. That thread goes on, but only up to where it would give the lock up: there it
// stays until the system call is done. So the time in which the lock cannot be given up begins with
// one store of a word (inject_word.hpp) and ends with another:
//
//   holder: its list has the lock      | forker: word = taken(holder, lock)
//           list without the lock      |         is it still in the holder's list?
//           is word = taken(me, lock)? |         then the holder will see the word
//           then sleep, else unlock    |         else look for another
//
// Both sides store first and then look (sequentially consistent), so one of them sees the other.
// A wait of either side has a limit: nothing that a program does can make it wait for ever here.
//
// Lock-free, async-signal-safe; one fork at a time, others wait for it within their own limit.
#pragma once

#include "detector/tracker/inject_match.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::inject::hold {

/// Before the fork of `self`: returns when another thread is held, or is not to be had.
void begin(ThreadRecord& self, std::uint32_t index);
/// After the system call, or when the forking thread needs the lock itself: lets it go, and writes
/// down what came of it.
void end(ThreadRecord& self);
void in_child();

/// `thread` has got a lock that the injections in `matching` are about.
void taken(ThreadRecord& thread, const Locked& locked, std::uint32_t matching);
void giving_up(ThreadRecord& thread, const void* lock);
void wants(ThreadRecord& thread, const void* lock);

}  // namespace forkscope::inject::hold
