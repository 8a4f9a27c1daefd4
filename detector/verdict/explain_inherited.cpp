// What else a child inherits, or does not: libc-lock, shared-descriptor, missing-memory,
// unsafe-call, fork-bypass.
#include <fmt/format.h>

#include "detector/verdict/libc_calls.hpp"
#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Evidence;
using record::Kind;
using record::LockType;

// ---- libc-lock ----------------------------------------------------------------------------------

std::string loader_verdict(const FindingFacts& facts) {
  const std::string call = call_words(call_word(facts.record.finding.call));
  if (facts.death) {
    return fmt::format("{} in {}: fork copied the loader in the middle of a change",
                       facts.death->words, call);
  }
  return fmt::format("calls {}, but fork copied the loader in the middle of a change", call);
}

std::string loader_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string call = call_words(call_word(f.call));
  const std::string who = f.holder_tid != 0 ? capitalised(holder_words(facts)) : "Another thread";
  std::string text = fmt::format(
      "{} was loading or unloading a shared object {}. fork sets the loader's locks free in the "
      "child, but the list of objects stays half changed, and the thread that would finish it was "
      "not copied. ",
      who, when_forked(facts));
  if (facts.death) {
    return text + fmt::format("{} of process {} met that state, and the process {}.", call,
                              facts.record.meta.pid, facts.death->words);
  }
  return text + fmt::format(
                    "{} that meets such a list fails an assertion of the loader, which ends the "
                    "process with status 127.",
                    call);
}

// ---- shared-descriptor --------------------------------------------------------------------------

std::string file_lock_verdict(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string lock = lock_words(facts.lock);
  const bool releases = file_lock_use(f) == FileLockUse::kReleases;
  if (f.lock_type == LockType::kRecordLock) {
    return fmt::format("{} {}, which its parent holds and fork does not hand on",
                       releases ? "unlocks" : "asks for", lock);
  }
  switch (file_lock_use(f)) {
    case FileLockUse::kReleases:
      return fmt::format("releases its parent's {}", lock);
    case FileLockUse::kTakes:
      return fmt::format("takes {}, which its parent holds by the same open file", lock);
    case FileLockUse::kUnknown:
      break;
  }
  return fmt::format("uses {}, which its parent holds by the same open file", lock);
}

std::string file_lock_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string pid = fmt::format("process {}", facts.record.meta.pid);
  std::string text =
      fmt::format("{} took it before the fork, and the kernel lists it as held. ",
                  f.holder_tid != 0 ? fmt::format("Thread {} of the parent", f.holder_tid)
                                    : std::string("The parent"));
  const bool releases = file_lock_use(f) == FileLockUse::kReleases;
  if (f.lock_type == LockType::kRecordLock) {
    text +=
        "A record lock (fcntl F_SETLK, lockf) belongs to a process, and a forked child has none "
        "of its parent's. ";
    return text + (releases ? fmt::format("So {} has nothing to unlock, and what it did before "
                                          "was not protected by this lock.",
                                          pid)
                            : fmt::format("So {} is refused or waits until its parent unlocks it, "
                                          "for a lock that it may believe to have.",
                                          pid));
  }
  text += fmt::format(
      "{} belongs to the open file, and descriptor {} of the child is the same open file as the "
      "parent's. ",
      capitalised(with_article(facts.lock.type)), facts.lock.descriptor.value_or(-1));
  switch (file_lock_use(f)) {
    case FileLockUse::kReleases:
      return text +
             "Its unlock takes the lock from the parent, which goes on as if it had it, "
             "and lets others in.";
    case FileLockUse::kTakes:
      return text +
             "To take it succeeds at once: parent and child both believe to be alone, and "
             "the first one to unlock does so for both.";
    case FileLockUse::kUnknown:
      break;
  }
  return text + "Whatever one of them does with the lock it does for both.";
}

// ---- missing-memory -----------------------------------------------------------------------------

std::string mapping_words(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  std::string text = fmt::format("{:#x}-{:#x}", f.range_begin, f.range_end);
  if (!facts.lock.file.empty()) text += " (" + facts.lock.file + ")";
  return text;
}

bool is_wiped(const record::Finding& f) {
  return advice_word(f.lock_words[0]) == "MADV_WIPEONFORK";
}

std::string memory_verdict(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string memory =
      is_wiped(f) ? "memory that fork set to zero" : "memory that fork did not copy";
  if (f.evidence == Evidence::kPointsThere) {
    return fmt::format("probably {} because of {}",
                       facts.death ? facts.death->words : std::string("dies"), memory);
  }
  if (facts.death) return fmt::format("{}: it touched {}", facts.death->words, memory);
  return "touches " + memory;
}

std::string memory_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string advice = advice_word(f.lock_words[0]);
  std::string text;
  if (f.evidence == Evidence::kPointsThere) {
    text = fmt::format(
        "The access to {:#x} failed while a register pointed into {}. That memory was marked "
        "{}: in a child it is there, and all zero. A pointer read from it is null, so this is "
        "probably the cause; no more than that is known. ",
        f.lock, mapping_words(facts), advice.empty() ? "to be wiped" : advice);
  } else {
    text = fmt::format(
        "{:#x} lies in {}, which was mapped {} and is not mapped in the child: it was marked {}. ",
        f.lock, mapping_words(facts), when_forked(facts),
        advice.empty() ? "not to be copied" : advice);
  }
  if (facts.death) {
    text += fmt::format(
        "The signal is the one the process would have got without forkscope: it "
        "{}.",
        facts.death->words);
  } else {
    text += "The signal stays what it is.";
  }
  return text;
}

// ---- unsafe-call --------------------------------------------------------------------------------

std::string vfork_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  return fmt::format(
      "A vfork child runs in its parent's memory, on the stack of the thread that called vfork, "
      "while that thread waits. POSIX allows it _exit and exec, nothing else. What {} changes here "
      "it changes in the parent, where all other threads go on; a lock it waits for may be held by "
      "the very thread that waits for this child.",
      call_words(call_word(f.call)));
}

}  // namespace

FileLockUse file_lock_use(const record::Finding& f) {
  switch (f.lock_words[4]) {
    case record::kFileLockReleased:
      return FileLockUse::kReleases;
    case record::kFileLockTaken:
      return FileLockUse::kTakes;
    default:
      return FileLockUse::kUnknown;
  }
}

std::string inherited_verdict(const FindingFacts& facts) {
  if (libc_call_of(facts.record.finding)) return libc_call_verdict(facts);
  switch (facts.record.finding.kind) {
    case Kind::kLibcLock:
      return loader_verdict(facts);
    case Kind::kSharedDescriptor:
      return file_lock_verdict(facts);
    case Kind::kMissingMemory:
      return memory_verdict(facts);
    case Kind::kUnsafeCall:
      return fmt::format("calls {} in a vfork child, in its parent's memory",
                         call_words(call_word(facts.record.finding.call)));
    default:
      return "was forked around the at-fork handlers";
  }
}

std::string inherited_explanation(const FindingFacts& facts) {
  if (libc_call_of(facts.record.finding)) return libc_call_explanation(facts);
  switch (facts.record.finding.kind) {
    case Kind::kLibcLock:
      return loader_explanation(facts);
    case Kind::kSharedDescriptor:
      return file_lock_explanation(facts);
    case Kind::kMissingMemory:
      return memory_explanation(facts);
    case Kind::kUnsafeCall:
      return vfork_explanation(facts);
    default:
      return "";
  }
}

}  // namespace forkscope
