// One finding as text. The first line says it all; the rest is for who wants to repair it.
#include <fmt/format.h>

#include <cctype>

#include "detector/report/finding_parts.hpp"
#include "detector/report/layout.hpp"
#include "detector/report/print.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/headline.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kBlock = 4;             // indentation of what stands under a label
constexpr std::size_t kMaxShownThreads = 12;  // of those that were not copied

std::string alarm_word(const Finding& finding) {
  if (finding.severity == "latent") return "LATENT DEADLOCK";
  if (finding.certainty == "probable" && finding.outcome != "came back") return "PROBABLE DEADLOCK";
  if (finding.died && finding.severity == "deadlock") return "DEATH";
  std::string word = finding.severity;
  for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return word;
}

Style style_of(const std::string& severity) {
  return severity == "deadlock" ? Style::kAlarm : Style::kWarning;
}

std::string label(const std::string& text, const TextOptions& options) {
  return "  " + styled(text, Style::kLabel, options) + "\n";
}

/// A label and the lines under it; nothing when there are none.
std::string block(const std::string& name, const std::string& lines, const TextOptions& options) {
  return lines.empty() ? "" : label(name, options) + lines;
}

/// Where the memory is that a fork left out, and what it was.
std::string range_block(const Finding& finding, const TextOptions& options) {
  if (!finding.range) return "";
  std::string line = fmt::format("{:#x}, in {:#x}-{:#x}", finding.lock.address,
                                 finding.range->begin, finding.range->end);
  if (!finding.lock.file.empty()) line += ", mapped from " + printable(finding.lock.file);
  if (!finding.advice.empty()) line += ", marked " + finding.advice;
  return block(labels_of(finding).object, wrapped(line, kBlock, options.width), options);
}

std::string lock_block(const Finding& finding, const TextOptions& options) {
  const LockInfo& lock = finding.lock;
  if (lock.descriptor) {
    return block(labels_of(finding).object,
                 wrapped(printable(lock_words(lock)), kBlock, options.width), options);
  }
  // A fork, a call or a thread's handle is no place that a reader could look at.
  if (lock.type.empty() || lock.type == "thread") return "";
  std::string line = lock_words(lock);
  if (!lock.name.empty() && !lock.symbol.empty()) line += ", the variable " + lock.symbol;
  if (!lock.mode.empty()) line += lock.mode == "read" ? ", held for reading" : ", held for writing";
  if (lock.module.empty()) {
    line += lock.symbol.empty() ? ", in no object file: on the heap, a stack or mapped memory"
                                : fmt::format(", address {:#x}", lock.address);
  } else {
    line += fmt::format(", address {:#x}, in {}", lock.address, lock.module);
  }
  return block(labels_of(finding).object, wrapped(line, kBlock, options.width), options);
}

bool has_holder(const Finding::Holder& holder) {
  return holder.tid != 0 || holder.start || !holder.name.empty() || !holder.acquired.empty();
}

/// The start routine, short: it is there to recognise the thread by. An address would not help.
std::string start_words(const std::optional<Frame>& start) {
  if (!start || start->function.empty()) return "";
  Frame frame = *start;
  frame.file = base_name(frame.file);
  frame.module.clear();
  return ", runs " + frame_words(frame, 1000);
}

/// The stacks that decide, and the one that is only there to recognise the thread by.
StackView main_view(const TextOptions& options) {
  return options.everything ? StackView{true, 20} : StackView{false, 10};
}
StackView side_view(const TextOptions& options) {
  return options.everything ? StackView{true, 20} : StackView{false, 3};
}

std::string holder_blocks(const Finding& finding, const TextOptions& options) {
  const Finding::Holder& holder = finding.holder;
  if (!has_holder(holder)) return "";
  const FindingLabels labels = labels_of(finding);
  std::string text;
  if (holder.tid != 0 || holder.start || !holder.name.empty()) {
    std::string line = thread_words(holder.tid, holder.name) + start_words(holder.start);
    if (holder.exited) line += ", had ended before the fork";
    if (holder.uses == 1) line += ", once";
    if (holder.uses > 1) line += fmt::format(", {} times", holder.uses);
    text += block(labels.holder, wrapped(line, kBlock, options.width), options);
  }
  std::string acquired = stack_lines(holder.acquired, kBlock, options.width, main_view(options));
  // Of these kinds one frame is all that was kept, and all that is needed.
  const bool one_frame = finding.evidence == "lock-order" || finding.evidence == "not-released" ||
                         finding.kind == "lost-thread" || finding.kind == "missing-memory" ||
                         finding.kind == "shared-descriptor" || finding.kind == "libc-lock";
  if (!one_frame && !acquired.empty() && !holder.acquired_complete) {
    acquired += std::string(kBlock, ' ') + "(the rest of this stack is not known)\n";
  }
  text += block(labels.acquired, acquired, options);
  text += block("thread created at",
                stack_lines(holder.creator, kBlock, options.width, side_view(options)), options);
  return text + block("it lives on in the parent, at",
                      python_lines(holder.python, kBlock, options) +
                          stack_lines(holder.now, kBlock, options.width, main_view(options)),
                      options);
}

std::string lost_block(const Finding& finding, const TextOptions& options) {
  // Of an orphaned lock only its holder matters; of a lost thread any of them could be the one,
  // and of a fork around the handlers any of them could have been inside malloc.
  if (finding.kind != "lost-thread" && finding.kind != "fork-bypass") return "";
  std::string lines;
  for (std::size_t i = 0; i < finding.lost.size() && i < kMaxShownThreads; ++i) {
    const ThreadReport& thread = finding.lost[i];
    lines += wrapped(
        thread_words(thread.tid, thread.name) + ", " + thread.state + start_words(thread.start),
        kBlock, options.width);
  }
  if (finding.lost.size() > kMaxShownThreads) {
    lines += fmt::format("{}... {} more (see --json)\n", std::string(kBlock, ' '),
                         finding.lost.size() - kMaxShownThreads);
  }
  return block("threads not copied", lines, options);
}

std::string waiter_block(const Finding& finding, const TextOptions& options) {
  if (finding.waiter.tid == 0) return "";
  std::string thread = fmt::format("thread {}", finding.waiter.tid);
  if (finding.outcome == "probe") thread.clear();  // of whatever child
  if (!finding.waiter.call.empty())
    thread = call_words(finding.waiter.call) + (thread.empty() ? "" : ", " + thread);
  const std::string call =
      wrapped(thread, kBlock, options.width) + python_lines(finding.waiter.python, kBlock, options);
  return block(waiter_label(finding),
               call + stack_lines(finding.waiter.stack, kBlock, options.width, main_view(options)),
               options);
}

/// Which at-fork handler it is about, or happened in.
std::string handler_block(const Finding& finding, const TextOptions& options) {
  if (!finding.handler) return "";
  const Finding::Handler& handler = *finding.handler;
  std::string lines = handler.function
                          ? wrapped(frame_words(*handler.function, options.width - int(kBlock)),
                                    kBlock, options.width)
                          : "";
  std::string registered;
  if (handler.order != 0) registered = fmt::format("registration {}", handler.order);
  if (handler.registered) {
    registered += (registered.empty() ? "" : ", at ") +
                  frame_words(*handler.registered, options.width - int(kBlock));
  }
  if (!registered.empty()) lines += wrapped(registered, kBlock, options.width);
  const std::string name =
      handler.phase.empty() ? "at-fork handler" : handler.phase + " handler (pthread_atfork)";
  return block(name, lines, options);
}

std::string declared_block(const Finding& finding, const TextOptions& options) {
  return block("declared", wrapped(declared_words(finding), kBlock, options.width), options);
}

std::string end_block(const Finding& finding, const TextOptions& options) {
  return block("then", wrapped(end_words(finding), kBlock, options.width), options);
}

/// For who keeps a baseline; that there is none concerns everybody whose run is to fail on new ones.
std::string fingerprint_block(const Finding& finding, const TextOptions& options) {
  if (finding.fingerprint == kUnidentified)
    return block("fingerprint",
                 wrapped(finding.fingerprint + ": no function or variable of the program is known to "
                                               "be part of it. It is never taken for another "
                                               "finding, and no baseline accepts it.",
                         kBlock, options.width),
                 options);
  return "";
}

std::string whole_body(const Finding& finding, const TextOptions& options) {
  std::string text = finding.range ? range_block(finding, options) : lock_block(finding, options);
  text += holder_blocks(finding, options);
  text += lost_block(finding, options);
  text +=
      block("fork at",
            python_lines(finding.fork_python, kBlock, options) +
                stack_lines(finding.fork_stack, kBlock, options.width, main_view(options)),
            options);
  text += waiter_block(finding, options);
  text += handler_block(finding, options);
  text += end_block(finding, options);
  text += declared_block(finding, options);
  text += block("why", wrapped(finding.explanation, kBlock, options.width), options);
  text += block("cure", wrapped(finding.cure, kBlock, options.width), options);
  return text + fingerprint_block(finding, options);
}

std::string body(const Finding& finding, const TextOptions& options) {
  return options.verbose ? whole_body(finding, options)
                         : brief_body(finding, options) + fingerprint_block(finding, options);
}

}  // namespace

FindingLabels labels_of(const Finding& finding) {
  if (finding.kind == "lost-thread") return {"waits for", "missing", "it was at"};
  if (finding.libc) return {"lock", "missing", "it called at"};
  if (finding.kind == "libc-lock") return {"lock", "changed by", "it called at"};
  if (finding.evidence == "both-use") return {"descriptor", "also used by", "used there at"};
  if (finding.evidence == "siblings-use" || finding.evidence == "kept-open")
    return {"descriptor", "", ""};
  if (finding.kind == "shared-descriptor") return {"lock", "taken by", "taken at"};
  if (finding.kind == "missing-memory") return {"memory", "marked by", "marked at"};
  if (finding.evidence == "both-initialise") return {"lock", "also begun by", "begun there at"};
  if (finding.evidence == "took-before") return {"lock", "also taken by", "taken there at"};
  if (finding.evidence == "waited-last") return {"semaphore", "waited last", "it waited at"};
  return {};
}

std::string waiter_label(const Finding& finding) {
  const bool atfork = finding.kind == "atfork-handler";
  return atfork && finding.severity == "deadlock" ? "handler waits at"
                           : atfork                                 ? "handler takes it at"
                           : finding.died                           ? "child died at"
                           : finding.severity == "deadlock" || finding.certainty == "probable"
                               ? "child waits at"
                           : finding.outcome == "probe" ? "a child takes it at"
                           : finding.severity == "latent" ? "child took it at"
                                                          : "child called at";
}

std::string declared_words(const Finding& finding) {
  if (finding.declared_safe.empty()) return "";
  const std::string words =
      "the program declares this fork safe: " + printable(finding.declared_safe);
  return finding.severity == "deadlock" ? words + " (it was not)" : words;
}

std::string end_words(const Finding& finding) {
  if (finding.outcome.empty() || finding.outcome == "blocked" || finding.died ||
      finding.outcome == "probe")
    return "";
  const char* who = finding.kind == "atfork-handler" ? "process" : "child";
  if (finding.outcome == "acquired later") return fmt::format("the {} acquired it later", who);
  if (finding.outcome == "came back") return "the call came back";
  return fmt::format("the {} was {} (--on-deadlock)", who, finding.outcome);
}

std::string headline_line(const Finding& finding, const TextOptions& options) {
  const std::string words = printable(headline_words(finding));
  if (!options.bounded) return words + "\n";
  constexpr std::size_t kMark = 11;  // "forkscope: ", which the first line begins with
  return wrapped(words, kMark, options.width).substr(kMark);
}

std::string class_line(const Finding& finding, const TextOptions& options) {
  std::string line = fmt::format("  {}{} in process {}: {}", finding.known ? "known " : "",
                                 styled(alarm_word(finding), style_of(finding.severity), options),
                                 finding.process, finding.kind);
  if (!finding.fingerprint.empty()) line += ", " + finding.fingerprint;
  if (finding.count > 1) {
    // A line of this length has no room on a narrow terminal; colour takes none.
    constexpr int kRoomy = 100;
    line += options.bounded && options.width < kRoomy ? "\n  " : " ";
    line += fmt::format("[and {} more like it]", finding.count - 1);
  }
  return line + "\n";
}

std::string finding_text(const Finding& finding, const TextOptions& options) {
  const std::string first =
      "forkscope: " + headline_line(finding, options) + class_line(finding, options);
  return options.verbose ? first + body(finding, options)
                         : first + brief_waiter(finding, options) + body(finding, options);
}

std::string headline_text(const Finding& finding, const TextOptions& options) {
  return "forkscope: " + headline_line(finding, options) + class_line(finding, options) +
         (options.verbose ? waiter_block(finding, options) : brief_waiter(finding, options));
}

std::string details_text(const Finding& finding, const TextOptions& options) {
  return fmt::format("forkscope: in detail, process {}{}:\n", finding.process,
                     finding.program.empty() ? "" : " (" + printable(finding.program) + ")") +
         body(finding, options);
}

}  // namespace forkscope
