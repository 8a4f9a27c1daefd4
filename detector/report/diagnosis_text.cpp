// A diagnosis as text: the first line is the answer.
#include <fmt/format.h>

#include <algorithm>

#include "detector/report/layout.hpp"
#include "detector/report/print_diagnosis.hpp"
#include "detector/verdict/outside/outside_words.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kBlock = 4;
constexpr std::size_t kMaxThreads = 8;       ///< shown with their stacks
constexpr std::size_t kMaxLostThreads = 12;

Style style_of(Answer answer) {
  switch (answer) {
    case Answer::kDeadlock:
      return Style::kAlarm;
    case Answer::kProbable:
    case Answer::kStuck:
    case Answer::kUnknown:
      return Style::kWarning;
    case Answer::kWaiting:
    case Answer::kRunning:
    case Answer::kEnded:
      break;
  }
  return Style::kGood;
}

class Text {
 public:
  explicit Text(const TextOptions& options) : options_(options) {}

  void label(const std::string& name) {
    text_ += "  " + styled(name, Style::kLabel, options_) + "\n";
  }
  void lines(const std::string& content) {
    text_ += wrapped(printable(content), kBlock, options_.width);
  }
  void block(const std::string& name, const std::string& content) {
    if (content.empty()) return;
    label(name);
    lines(content);
  }
  void stack(const std::vector<Frame>& frames, const std::vector<PythonFrame>& python,
             StackView view) {
    for (std::size_t i = 0; i < python.size() && i < view.most; ++i) {
      const PythonFrame& frame = python[i];
      std::string line = fmt::format("py{:<2} {}  {}", i, frame.function,
                                     options_.verbose ? frame.file : base_name(frame.file));
      if (frame.line > 0) line += fmt::format(":{}", frame.line);
      lines(line);
    }
    text_ += stack_lines(frames, kBlock, options_.width, view);
  }
  void add(const std::string& text) { text_ += text; }
  std::string take() { return std::move(text_); }

 private:
  const TextOptions& options_;
  std::string text_;
};

StackView view_of(const TextOptions& options) {
  return options.verbose ? StackView{true, 64} : StackView{false, 10};
}

std::string place_words(const ThreadDiagnosis& thread) {
  const LockInfo& place = thread.place;
  std::string words = fmt::format("address {:#x}", place.address);
  if (!place.module.empty()) words += ", in " + place.module;
  if (thread.lock->confidence != Confidence::kNone)
    words += fmt::format("; {} by its bytes", confidence_word(thread.lock->confidence));
  if (!thread.lock->state.empty()) words += ": " + thread.lock->state;
  return words;
}

void add_thread(Text& text, const ThreadDiagnosis& thread, bool from_core,
                const TextOptions& options) {
  text.label(printable(thread_words(thread.tid, thread.name) + " " + thread.does));
  if (thread.lock) text.lines(place_words(thread));
  text.stack(thread.stack, thread.python, view_of(options));
  if (!thread.stack.empty() && !thread.stack_complete)
    text.lines(from_core ? "(the rest of this stack is not known)"
                         : "(the rest of this stack is not known without stopping it: --stacks)");
}

void add_holder(Text& text, const LockOwner& owner, const TextOptions& options) {
  if (owner.where != LockOwner::Where::kAncestor) return;
  text.label(fmt::format("held by {} of process {}, which is now at",
                         printable(thread_words(owner.tid, owner.name)), owner.pid));
  if (owner.stack.empty() && owner.python.empty())
    text.lines("(it runs; its stack is not known without stopping it)");
  text.stack(owner.stack, owner.python, view_of(options));
}

void add_lost(Text& text, const Diagnosis& diagnosis) {
  if (diagnosis.lost.empty() || !diagnosis.finding) return;
  text.label(fmt::format("threads of process {} that were not copied", diagnosis.forked_by));
  for (std::size_t i = 0; i < diagnosis.lost.size() && i < kMaxLostThreads; ++i) {
    const ThreadReport& thread = diagnosis.lost[i];
    std::string line = thread_words(thread.tid, thread.name) + ", " + thread.state;
    if (thread.start && !thread.start->function.empty()) line += ", runs " + thread.start->function;
    text.lines(line);
  }
  if (diagnosis.lost.size() > kMaxLostThreads)
    text.lines(fmt::format("... {} more (see --json)", diagnosis.lost.size() - kMaxLostThreads));
}

}  // namespace

std::string diagnosis_text(const Diagnosis& diagnosis, const TextOptions& options) {
  Text text(options);
  std::string process = fmt::format("process {}", diagnosis.pid);
  if (!diagnosis.program.empty()) process += " (" + printable(diagnosis.program) + ")";
  // The verb carries the answer: "is deadlocked by a fork".
  const std::string sentence = printable(diagnosis.sentence);
  const std::size_t colon = sentence.find(':');
  text.add(fmt::format("forkscope: {} {}{}\n", process,
                       styled(sentence.substr(0, colon), style_of(diagnosis.answer), options),
                       colon == std::string::npos ? "" : sentence.substr(colon)));
  for (const Diagnosis::Child& child : diagnosis.hung_children)
    text.add(wrapped(printable(fmt::format("its child, process {}, {}", child.pid, child.sentence)),
                     2, options.width));
  std::string why;
  for (const std::string& reason : diagnosis.reasons) why += (why.empty() ? "" : " ") + reason;
  text.block("why", why);
  // The thread the answer is about first, wherever it stands.
  std::vector<const ThreadDiagnosis*> threads;
  for (const ThreadDiagnosis& thread : diagnosis.threads) threads.push_back(&thread);
  if (diagnosis.finding) {
    std::stable_partition(threads.begin(), threads.end(), [&](const ThreadDiagnosis* thread) {
      return thread->tid == diagnosis.finding->waiter.tid;
    });
  }
  std::size_t shown = 0;
  for (const ThreadDiagnosis* one : threads) {
    const ThreadDiagnosis& thread = *one;
    if (shown == kMaxThreads && !options.verbose) break;
    add_thread(text, thread, diagnosis.from_core, options);
    add_holder(text, thread.owner, options);
    ++shown;
  }
  if (shown < diagnosis.threads.size())
    text.lines(fmt::format("... {} more threads (see --verbose or --json)",
                           diagnosis.threads.size() - shown));
  add_lost(text, diagnosis);
  if (diagnosis.finding) text.block("cure", diagnosis.finding->cure);
  for (const Missing& missing : diagnosis.missing) {
    text.block("not known", missing.what + ": " + missing.why);
    text.block("to know it", missing.cure);
  }
  return text.take();
}

}  // namespace forkscope
