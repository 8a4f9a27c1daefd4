// The verdict on a process that is looked at from outside. Pure functions; thread-safe.
//
// What proves a deadlock (docs/how-it-works.md, "From outside"): every thread that could end the
// wait is known, and none of them ever will.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/outside/evidence.hpp"
#include "detector/verdict/outside/lock_layout.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

enum class Answer {
  kDeadlock,  ///< proven: by a fork
  kProbable,  ///< the evidence speaks for it, something that could end the wait is not excluded
  kStuck,     ///< proven to wait for ever, but not because of a fork
  kWaiting,   ///< for something outside, for a time, or for a thread that is alive
  kRunning,
  kEnded,     ///< a zombie
  kUnknown,   ///< could not be found out
};

/// Who must act before a thread goes on.
struct LockOwner {
  enum class Where {
    kUnknown,
    kHere,      ///< a living thread of this process
    kAncestor,  ///< a living thread of the process it was copied from: it was not copied
    kGone,      ///< no thread of any process we see
    kItself,    ///< the waiting thread, or the thread it was before the fork
  } where = Where::kUnknown;
  std::int32_t pid = 0, tid = 0;  ///< in our PID namespace, 0 unknown
  std::string name;
  std::vector<Frame> stack;
  std::vector<PythonFrame> python;
  std::optional<Frame> start;
};

/// What one thread does.
struct ThreadDiagnosis {
  std::int32_t tid = 0;
  std::string name;
  std::string does;  ///< a predicate: "waits for mutex file_lock", "sleeps", "reads a pipe"
  bool for_ever = false;  ///< nothing in the call itself ends it: no time limit
  std::optional<RecognisedLock> lock;
  LockInfo place;  ///< of `lock`, named
  LockOwner owner;
  std::vector<Frame> stack;
  bool stack_complete = false;
  std::vector<PythonFrame> python;
};

struct Diagnosis {
  Answer answer = Answer::kUnknown;
  std::int32_t pid = 0;
  std::string program;             ///< base name of the executable or of argv[0]
  std::vector<std::string> command;
  std::string sentence;            ///< the first line, a predicate: "is deadlocked by a fork: ..."
  std::vector<std::string> reasons;  ///< sentences: why the answer is this one
  std::vector<ThreadDiagnosis> threads;
  std::vector<ThreadReport> lost;    ///< threads of the forker that were not copied
  std::int32_t parent = 0;
  bool from_core = false;
  bool readable = true;  ///< what its threads do could be read
  double age_seconds = 0;  ///< since the process was created; 0 unknown
  std::optional<bool> forked;        ///< as ProcessEvidence::forked
  std::int32_t forked_by = 0;        ///< pid of the process it is a copy of, 0: none, or not known
  std::vector<Missing> missing;
  bool stopped = false;  ///< its threads were stopped for their stacks: no longer look finds more
  /// Processes below it that hang: who waits for them asks about the wrong process.
  std::vector<Diagnosis> hung_children;
  std::optional<Finding> finding;    ///< of kDeadlock and kProbable, in the form `run` reports
};

/// Of the process and those below it that hang, the gravest: what an exit status says, and `answer` in
/// JSON.
Answer whole_answer(const Diagnosis& diagnosis);
/// The first line for that answer, a predicate: "has 2 children that are deadlocked by a fork: ...".
std::string whole_sentence(const Diagnosis& diagnosis);
/// The hung children, those together that hang alike.
std::vector<std::vector<const Diagnosis*>> alike_children(const Diagnosis& diagnosis);

/// Names of lock addresses; code was named when the evidence was taken.
using DataNamer = std::function<LockInfo(std::uint64_t address, const std::string& type)>;

Diagnosis diagnose(const Evidence& evidence, const DataNamer& name);

}  // namespace forkscope
