// Waiting until another thread is blocked, for scenarios whose fork must meet it there.
//
// Read from /proc/self/task/TID/syscall, which names a system call only while the thread sleeps in
// it. Thread-safe; neither allocates nor locks, so it may run while another thread is inside
// fork(). Each function gives up with std::runtime_error after ten seconds.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace forkscope::scenario {

/// Returns when thread `tid` of this process sleeps in system call `number`.
void wait_until_in_system_call(pid_t tid, long number);

/// Returns when it sleeps in futex(2) on a word of the object.
void wait_until_blocked_on(pid_t tid, const void* object, std::size_t size);

template <typename Object>
void wait_until_blocked_on(pid_t tid, const Object& object) {
  wait_until_blocked_on(tid, &object, sizeof object);
}

/// Returns when the condition holds; between looks other threads run.
void wait_until(bool (*holds)(const void*), const void* argument);

template <typename Condition>
void wait_until(const Condition& condition) {
  wait_until([](const void* given) { return (*static_cast<const Condition*>(given))(); },
             static_cast<const void*>(&condition));
}

}  // namespace forkscope::scenario
