// A finding on a screen: twelve to fifteen lines, a line for each question one asks of a hang.
#include <fmt/format.h>

#include "detector/report/finding_parts.hpp"
#include "detector/report/layout.hpp"
#include "detector/verdict/code_origin.hpp"
#include "detector/verdict/headline.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kLabel = 2;
constexpr std::size_t kText = 19;  // where the text of a row begins: after "handler waits at"
constexpr std::size_t kMostGroups = 6;

/// A label and its text on one line; further lines stand under the text.
std::string row(const std::string& label, const std::string& text, const TextOptions& options) {
  if (text.empty()) return "";
  const std::string lines = wrapped(text, kText, options.width);
  const std::size_t used = kLabel + label.size();
  const std::string gap(used < kText ? kText - used : 1, ' ');
  if (used >= kText)  // no room beside it
    return std::string(kLabel, ' ') + styled(label, Style::kLabel, options) + "\n" + lines;
  return std::string(kLabel, ' ') + styled(label, Style::kLabel, options) + gap + lines.substr(kText);
}

/// "/srv/app/jobs.py:41 in DataFrame.filter" of the innermost line of the user's own, else the
/// innermost that is neither libc's nor Python's.
const Frame* frame_to_name(const std::vector<Frame>& stack) {
  const Frame* best = nullptr;
  for (const Frame& frame : stack) {
    const Origin origin = code_origin(frame);
    if (origin == Origin::kOwn) return &frame;
    if (origin == Origin::kInstalled && best == nullptr) best = &frame;
  }
  return best != nullptr || stack.empty() ? best : &stack.front();
}

std::string place_words(const std::vector<PythonFrame>& python, const std::vector<Frame>& stack,
                        const TextOptions& options) {
  if (const std::string own = own_place(python, stack); !own.empty()) return own;
  if (!python.empty()) {
    return fmt::format("{}:{} in {}", python.front().file, python.front().line,
                       python.front().function);
  }
  const Frame* frame = frame_to_name(stack);
  return frame == nullptr ? "" : frame_words(*frame, options.width - static_cast<int>(kText));
}

/// The machine code that waits, where a line of Python was told first.
std::string native_words(const Finding& finding, const TextOptions& options) {
  if (finding.waiter.python.empty()) return "";
  for (const Frame& frame : finding.waiter.stack)
    if (code_origin(frame) != Origin::kStandard)
      return frame_words(frame, options.width - static_cast<int>(kText));
  return "";
}

std::string object_words(const Finding& finding) {
  const LockInfo& lock = finding.lock;
  if (finding.range) {
    std::string words = fmt::format("{:#x}", lock.address);
    if (!lock.file.empty()) words += ", mapped from " + lock.file;
    return words + (finding.advice.empty() ? "" : ", marked " + finding.advice);
  }
  if (lock.type.empty() || lock.type == "thread") return "";
  std::string words = lock_words(lock);
  if (!lock.module.empty() && !lock.descriptor && !lock.symbol.empty())
    words += " of " + base_name(lock.module);
  if (!lock.mode.empty()) words += ", for " + std::string(lock.mode == "read" ? "reading" : "writing");
  return words;
}

std::string holder_words(const Finding& finding, const TextOptions& options) {
  const Finding::Holder& holder = finding.holder;
  std::string words;
  if (holder.tid != 0 || !holder.name.empty()) {
    words = thread_words(holder.tid, holder.name);
    if (holder.start && !holder.start->function.empty())
      words += ", runs " + bare_function(holder.start->function);
    if (holder.uses > 0)
      words += holder.uses == 1 ? ", once" : fmt::format(", {} times", holder.uses);
  }
  const std::string place = place_words(holder.python, holder.acquired, options);
  if (!place.empty()) words += (words.empty() ? "" : ", at ") + place;
  return words;
}

/// "thread 4711 (refresher), sleeps in refresh (cache.py:5)", of one or two.
std::string few_lost_words(const std::vector<ThreadReport>& lost) {
  std::string words;
  for (const ThreadReport& thread : lost)
    words += (words.empty() ? "" : "; ") + thread_words(thread.tid, thread.name) +
             (thread.state.empty() ? "" : ", " + thread.state);
  return words;
}

/// Of a lock with a holder that one is enough.
std::string lost_words(const Finding& finding) {
  const bool unheld = finding.kind == "orphaned-lock" && finding.holder.tid == 0;
  if (finding.kind != "lost-thread" && finding.kind != "fork-bypass" && !unheld) return "";
  if (finding.lost.size() <= 2) return few_lost_words(finding.lost);
  const std::vector<std::string> groups = thread_groups(finding.lost);
  std::string words;
  for (std::size_t i = 0; i < groups.size() && i < kMostGroups; ++i)
    words += (i == 0 ? "" : "; ") + groups[i];
  if (groups.size() > kMostGroups)
    words += fmt::format("; and {} more kinds of threads", groups.size() - kMostGroups);
  return words;
}

std::string handler_words(const Finding& finding, const TextOptions& options) {
  if (!finding.handler || !finding.handler->function) return "";
  const std::string phase = finding.handler->phase;
  return (phase.empty() ? "" : phase + " handler ") +
         frame_words(*finding.handler->function, options.width - static_cast<int>(kText));
}

}  // namespace

std::string brief_waiter(const Finding& finding, const TextOptions& options) {
  if (finding.waiter.tid == 0) return "";
  std::string words = place_words(finding.waiter.python, finding.waiter.stack, options);
  std::string call = finding.waiter.call.empty() ? "" : call_words(finding.waiter.call);
  const std::string native = native_words(finding, options);
  if (!native.empty()) call = native + (call.empty() ? "" : ", in " + call);
  if (words.empty()) std::swap(words, call);
  const std::string label = waiter_label(finding);
  const std::string place = row(label, words, options);
  return place + row(native.empty() ? "by" : "machine code", call, options);
}

std::string brief_body(const Finding& finding, const TextOptions& options) {
  const FindingLabels labels = labels_of(finding);
  std::string text = row(labels.object, object_words(finding), options);
  text += row(labels.holder, holder_words(finding, options), options);
  text += row("not copied", lost_words(finding), options);
  text += row("fork at", place_words(finding.fork_python, finding.fork_stack, options), options);
  text += row("at fork", handler_words(finding, options), options);
  text += row("then", end_words(finding), options);
  text += row("declared", declared_words(finding), options);
  return text + row("cure", finding.cure, options);
}

}  // namespace forkscope
