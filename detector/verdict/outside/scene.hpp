// A process under judgement from outside: the evidence, what is understood of it before any rule is
// asked (Scene), and what a rule makes of it (Ruling). Pure functions; thread-safe. Internal to
// verdict/outside: diagnosis.hpp is for the rest.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "detector/record/record.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/thread_view.hpp"

namespace forkscope {

/// What an answer rests on. The JSON report has the word of it as `evidence`.
enum class Ground {
  kNone,
  kOwnerWord,   ///< the lock names an owner, and it is not here
  kNobodyLeft,  ///< every thread waits for another one
  kNobodyHolds, ///< the lock names no owner, and none of the living threads is seen to hold it
  kRoleGone,    ///< nobody here does what threads did that were not copied
  kRounds,      ///< it waits again and again, each time for a limited time, for nothing that comes
  kUnserved,    ///< threads that were not copied knew what it waits for, and no other thread here does
  kInstant,     ///< of a core file: it waits so, as far as the function and its code tell
};

/// Why an answer is `unknown` though everything could be read.
enum class Unclear {
  kNone,
  kOneInstant,   ///< of a core file: a wait with a limit, a nap or a spin, perhaps one of many
  kEvent,        ///< it waits again and again for a Python event, as programs sleep, too
  kDescriptors,  ///< of a core file: what the descriptors lead to that it waits for
  kOwnWriter,    ///< it waits for descriptors that its own lost threads were there to write to
  kUnserved,     ///< it waits for something that lost threads knew, and nobody here is seen to
};

std::string ground_word(Ground ground);

/// Pointers into `evidence` and `views` stay valid as long as the scene, which is not copied.
struct Scene {
  explicit Scene(const Evidence& seen);
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  const Evidence& evidence;
  const ProcessEvidence& process;
  const std::vector<ThreadView> views;            ///< of all threads, in their order
  const std::vector<const ThreadEvidence*> lost;  ///< threads of the forker that were not copied
  bool forked;   ///< known to be a copy
  bool copied;   ///< forked, with memory of its own
  bool closed;   ///< every thread sleeps until another one of them wakes it
  bool blind;    ///< what its threads do could not be read

  /// Threads lived when it was forked that were not copied.
  bool left_behind() const { return !lost.empty() || !evidence.remembered_threads.empty(); }
  /// Something outside of the process is not excluded to reach its memory.
  bool others_may_wake() const {
    return !process.from_core && (!process.shares_memory || process.io_uring);
  }
  /// The view of the thread here that holds what `view` waits for; null when it is not one of this
  /// process, or not known.
  const ThreadView* owner_here(const ThreadView& view) const;
  /// A thread that was not copied is seen to know of what the thread waits on.
  bool is_known_to_lost(const ThreadView& view) const;
};

/// What a rule says.
struct Ruling {
  Answer answer = Answer::kUnknown;
  const ThreadView* culprit = nullptr;  ///< the thread the answer is about
  record::Kind kind = record::Kind::kLostThread;
  Ground ground = Ground::kNone;
  std::vector<const ThreadEvidence*> missed;  ///< threads not copied whom nobody here replaces
  bool signal_handlers = false;  ///< a handler of the program's own might end the wait
  bool nobody_known = false;     ///< which threads lived at the fork cannot be known any more
  bool readable = true;          ///< what the threads do could be read
  bool unknown_to_lost = false;  ///< no thread that was not copied is seen to know of the wait
  Unclear unclear = Unclear::kNone;
};

/// The kind of a finding about a wait whose lock names no owner.
record::Kind kind_of_unowned(const ThreadView& view);

/// Handlers of the program's own that might end a wait. Of a core file it is not known: true.
bool may_have_handlers(const ProcessEvidence& process);
/// CPython's handlers only make a note, which the interpreter reads when it runs the next time: never,
/// while its thread waits in the code of a library.
bool handlers_only_make_notes(const ProcessEvidence& process, const ThreadView& view);
bool has_python(const ProcessEvidence& process);
/// None but CPython's for Ctrl-C.
bool has_only_interrupt_handler(const ProcessEvidence& process);
/// Memory that another process could write. The library's own records are none.
bool has_shared_memory(const ProcessEvidence& process);

/// Whether threads that were not copied run the code that waits here. A library's threads are its
/// own business; of code that anybody may use to wait, a thread must be seen to know of the wait.
bool explained_by_lost(const Scene& scene, const ThreadView& view);

/// Whether the thread was started in, or is in, code of the module.
bool runs_code_of(const ThreadEvidence& thread, const std::string& module);

}  // namespace forkscope
