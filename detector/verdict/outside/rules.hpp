// The rules of the judgement from outside, in the order they are asked: the first that has an answer
// decides (docs/how-it-works.md, "What proves a deadlock"). Each is a pure function of the scene.
#pragma once

#include <optional>

#include "detector/verdict/outside/scene.hpp"

namespace forkscope::rules {

/// Not a process to judge: it has ended, is the kernel's, is stopped, or cannot be read.
std::optional<Ruling> beyond_judgement(const Scene& scene);
/// A lock whose holder is a thread that is not here. Nobody but the holder may release it.
std::optional<Ruling> absent_owner(const Scene& scene);
/// A lock that does not say who holds it, which a thread that was not copied is seen to know of and
/// no other thread here is. Other threads live, so this is no proof.
std::optional<Ruling> inherited_lock(const Scene& scene);
/// The same of a lock of Python's, judged by the Python code that threads are in.
std::optional<Ruling> inherited_python_lock(const Scene& scene);
/// Go's runtime waits, by a lock or for work, and its threads were not copied.
std::optional<Ruling> lost_go_runtime(const Scene& scene);
/// Every thread sleeps until another one of them wakes it.
std::optional<Ruling> nobody_left(const Scene& scene);
/// The first thread waits in a part of the program whose threads were not copied, and no thread
/// here runs that part's code. Other threads live, so this is no proof.
std::optional<Ruling> missing_role(const Scene& scene);
/// A thread waits again and again, each time for a limited time, or naps between its looks at a lock:
/// always at one place and on one word, and nobody here could end that (evidence.hpp, Rounds).
std::optional<Ruling> endless_rounds(const Scene& scene);
/// Of a core file: a thread waits for a limited time, naps or spins, and nobody here could end that.
std::optional<Ruling> one_instant(const Scene& scene);
/// A thread waits for descriptors that threads write to that were not copied. Never an accusation.
std::optional<Ruling> missing_writer(const Scene& scene);
/// A thread waits for an event that no living thread is seen to know of, by stack or code.
std::optional<Ruling> unserved_event(const Scene& scene);
/// A lock that a thread took before the fork, and nothing tells any more whether that is the thread
/// that forked and lives on as the first one here.
std::optional<Ruling> unknown_holder(const Scene& scene);
/// Of a core file: whether another process might have ended the wait is not to be seen.
std::optional<Ruling> unseen_sharers(const Scene& scene);
/// What no other rule speaks of: it runs, or waits for something that can come.
std::optional<Ruling> goes_on(const Scene& scene);

using Rule = std::optional<Ruling> (*)(const Scene&);
constexpr Rule kInOrder[] = {beyond_judgement, absent_owner,   lost_go_runtime, nobody_left,
                             inherited_lock,   inherited_python_lock,
                             missing_role,   endless_rounds, one_instant,  unknown_holder,
                             unseen_sharers,   missing_writer,
                             unserved_event, goes_on};

}  // namespace forkscope::rules
