// One finding as text. The first line says it all; the rest is for who wants to repair it.
#include <fmt/format.h>

#include <cctype>

#include "detector/report/layout.hpp"
#include "detector/report/print.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kBlock = 4;             // indentation of what stands under a label
constexpr std::size_t kMaxShownThreads = 12;  // of those that were not copied

std::string alarm_word(const std::string& severity) {
  if (severity == "latent") return "LATENT DEADLOCK";
  std::string word = severity;
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

std::string headline(const Finding& finding, const TextOptions& options) {
  std::string process = fmt::format("process {}", finding.process);
  if (!finding.program.empty()) process += " (" + printable(finding.program) + ")";
  std::string others;
  if (finding.count > 1) {
    others = fmt::format(" [and {} more like it]", finding.count - 1);
  }
  return fmt::format("forkscope: {} in {}: {}{}\n",
                     styled(alarm_word(finding.severity), style_of(finding.severity), options),
                     process, printable(finding.verdict), others);
}

std::string lock_block(const Finding& finding, const TextOptions& options) {
  const LockInfo& lock = finding.lock;
  std::string line = lock_words(lock);
  if (lock.module.empty()) {
    line += lock.symbol.empty() ? ", in no object file: on the heap, a stack or mapped memory"
                                : fmt::format(", address {:#x}", lock.address);
  } else {
    line += fmt::format(", address {:#x}, in {}", lock.address, lock.module);
  }
  return block("lock", wrapped(line, kBlock, options.width), options);
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
  return options.verbose ? StackView{true, 20} : StackView{false, 10};
}
StackView side_view(const TextOptions& options) {
  return options.verbose ? StackView{true, 20} : StackView{false, 3};
}

std::string holder_blocks(const Finding& finding, const TextOptions& options) {
  const Finding::Holder& holder = finding.holder;
  if (!has_holder(holder)) return "";
  std::string line = thread_words(holder.tid, holder.name) + start_words(holder.start);
  if (holder.exited) line += ", had ended before the fork";
  const bool lost_thread = finding.kind == "lost-thread";
  std::string text =
      block(lost_thread ? "missing" : "held by", wrapped(line, kBlock, options.width), options);
  std::string acquired = stack_lines(holder.acquired, kBlock, options.width, main_view(options));
  if (!lost_thread && !acquired.empty() && !holder.acquired_complete) {
    acquired += std::string(kBlock, ' ') + "(the rest of this stack is not known)\n";
  }
  text += block(lost_thread ? "it was at" : "acquired at", acquired, options);
  return text + block("thread created at",
                      stack_lines(holder.creator, kBlock, options.width, side_view(options)),
                      options);
}

std::string lost_block(const Finding& finding, const TextOptions& options) {
  // Of an orphaned lock only its holder matters; of a lost thread any of them could be the one.
  if (finding.kind != "lost-thread") return "";
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
  const std::string name = finding.severity == "deadlock" ? "child waits at" : "child called at";
  const std::string call =
      wrapped(fmt::format("{}(), thread {}", finding.waiter.call, finding.waiter.tid), kBlock,
              options.width);
  return block(name,
               call + stack_lines(finding.waiter.stack, kBlock, options.width, main_view(options)),
               options);
}

/// What was done to the child, unless it is what the headline says anyway.
std::string end_block(const Finding& finding, const TextOptions& options) {
  if (finding.outcome.empty() || finding.outcome == "blocked") return "";
  const bool by_option = finding.outcome != "acquired later";
  return block("then",
               wrapped("the child was " + finding.outcome + (by_option ? " (--on-deadlock)" : ""),
                       kBlock, options.width),
               options);
}

}  // namespace

std::string finding_text(const Finding& finding, const TextOptions& options) {
  std::string text = headline(finding, options);
  text += lock_block(finding, options);
  text += holder_blocks(finding, options);
  text += lost_block(finding, options);
  text +=
      block("fork at", stack_lines(finding.fork_stack, kBlock, options.width, main_view(options)),
            options);
  text += waiter_block(finding, options);
  text += end_block(finding, options);
  text += block("why", wrapped(finding.explanation, kBlock, options.width), options);
  text += block("cure", wrapped(finding.cure, kBlock, options.width), options);
  return text;
}

}  // namespace forkscope
