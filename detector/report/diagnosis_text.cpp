// A diagnosis as text: the first line is the answer.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "detector/report/finding_parts.hpp"
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
    text_ += python_lines(python, kBlock, options_);
    text_ += stack_lines(frames, kBlock, options_.width, view);
  }
  void add(const std::string& text) { text_ += text; }
  std::string take() { return std::move(text_); }

 private:
  const TextOptions& options_;
  std::string text_;
};

StackView view_of(const TextOptions& options) {
  return options.everything ? StackView{true, 64} : StackView{false, 10};
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

/// Equal for threads that wait for the same at the same place: the idle ones of a pool.
std::string likeness_of(const ThreadDiagnosis& thread) {
  std::string key = thread.does;
  for (const Frame& frame : thread.stack) key += fmt::format(" {:#x}", frame.address);
  for (const PythonFrame& frame : thread.python) key += fmt::format(" {}:{}", frame.file, frame.line);
  return key;
}

using Alike = std::vector<const ThreadDiagnosis*>;

/// All threads, the one the answer is about first, those together that do the same. One whose owner is
/// to be told of stands alone.
std::vector<Alike> alike_threads(const Diagnosis& diagnosis, const TextOptions& options) {
  std::vector<Alike> groups;
  std::map<std::string, std::size_t> known;
  const auto add = [&](const ThreadDiagnosis& thread, bool alone) {
    const auto [at, is_new] = known.emplace(likeness_of(thread), groups.size());
    if (alone || is_new || options.everything) {
      if (!alone) at->second = groups.size();
      groups.push_back({&thread});
    } else {
      groups[at->second].push_back(&thread);
    }
  };
  const auto is_culprit = [&](const ThreadDiagnosis& thread) {
    return diagnosis.finding && thread.tid == diagnosis.finding->waiter.tid;
  };
  for (const ThreadDiagnosis& thread : diagnosis.threads)
    if (is_culprit(thread)) groups.push_back({&thread});
  for (const ThreadDiagnosis& thread : diagnosis.threads)
    if (!is_culprit(thread)) add(thread, thread.owner.where == LockOwner::Where::kAncestor);
  return groups;
}

void add_threads(Text& text, const Alike& alike, const Diagnosis& diagnosis,
                 const TextOptions& options) {
  const ThreadDiagnosis& thread = *alike.front();
  text.label(printable(thread_words(thread.tid, thread.name) + " " + thread.does));
  if (thread.lock) text.lines(place_words(thread));
  text.stack(thread.stack, thread.python, view_of(options));
  if (!thread.stack.empty() && !thread.stack_complete)
    text.lines(diagnosis.from_core || diagnosis.stopped
                   ? "(the rest of this stack is not known)"
                   : "(the rest of this stack is not known without stopping it: --stacks)");
  if (alike.size() > 1)
    text.lines(fmt::format("and {} more {} the same here, the last is {} (see -vv)",
                           alike.size() - 1, alike.size() == 2 ? "thread does" : "threads do",
                           thread_words(alike.back()->tid, alike.back()->name)));
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
  struct Row {
    std::string words, end;
    std::size_t more = 0;
  };
  std::vector<Row> rows;  // idle workers of one pool are one
  std::size_t told = 0;
  for (const ThreadReport& thread : diagnosis.lost) {
    std::string end = ", " + thread.state;
    if (thread.start && !thread.start->function.empty()) end += ", runs " + thread.start->function;
    if (!rows.empty() && rows.back().end == end) {
      ++rows.back().more;
    } else if (rows.size() == kMaxLostThreads) {
      break;
    } else {
      rows.push_back({thread_words(thread.tid, thread.name), std::move(end)});
    }
    ++told;
  }
  for (const Row& row : rows)
    text.lines(row.words + (row.more == 0 ? "" : fmt::format(" and {} like it", row.more)) + row.end);
  if (told < diagnosis.lost.size())
    text.lines(fmt::format("... {} more (see --json)", diagnosis.lost.size() - told));
}

/// "process 4711 (python3.11) is deadlocked by a fork: ..."
std::string headline(const Diagnosis& diagnosis, Answer answer, const std::string& said,
                     const TextOptions& options) {
  std::string process = fmt::format("process {}", diagnosis.pid);
  if (!diagnosis.program.empty()) process += " (" + printable(diagnosis.program) + ")";
  // The verb carries the answer: "is deadlocked by a fork".
  const std::string sentence = printable(said);
  const std::size_t colon = sentence.find(':');
  return fmt::format("{} {}{}", process, styled(sentence.substr(0, colon), style_of(answer), options),
                     colon == std::string::npos ? "" : sentence.substr(colon));
}

/// The first two lines of what hangs by a fork: as `run` says it.
std::string hang_lines(const Diagnosis& diagnosis, const TextOptions& options) {
  return headline_line(*diagnosis.finding, options) + class_line(*diagnosis.finding, options);
}

/// All that is known but the first line and the cure; of a hang that is told brief, what one asks.
void add_evidence(Text& text, const Diagnosis& diagnosis, const TextOptions& options) {
  if (diagnosis.finding && !options.verbose) {
    text.add(brief_waiter(*diagnosis.finding, options) +
             brief_body(*diagnosis.finding, options));
    return;
  }
  std::string why;
  for (const std::string& reason : diagnosis.reasons) why += (why.empty() ? "" : " ") + reason;
  text.block("why", why);
  std::size_t shown = 0, threads = 0;
  for (const Alike& alike : alike_threads(diagnosis, options)) {
    if (shown == kMaxThreads && !options.everything) break;
    add_threads(text, alike, diagnosis, options);
    add_holder(text, alike.front()->owner, options);
    ++shown;
    threads += alike.size();
  }
  if (threads < diagnosis.threads.size())
    text.lines(fmt::format("... {} more threads (see -vv or --json)",
                           diagnosis.threads.size() - threads));
  add_lost(text, diagnosis);
}

void add_cure(Text& text, const Diagnosis& diagnosis, const TextOptions& options) {
  if (diagnosis.finding && options.verbose) text.block("cure", diagnosis.finding->cure);
  for (const Missing& missing : diagnosis.missing) {
    text.block("not known", missing.what + ": " + missing.why);
    text.block("to know it", missing.cure);
  }
}

/// One diagnosis for those that hang alike.
void add_children(Text& text, const Diagnosis& diagnosis, const TextOptions& options) {
  for (const auto& alike : alike_children(diagnosis)) {
    const Diagnosis& child = *alike.front();
    text.add("  " + hang_lines(child, options));
    add_evidence(text, child, options);
    std::string others;
    for (std::size_t i = 1; i < alike.size(); ++i)
      others += fmt::format("{}{}", i == 1 ? "" : ", ", alike[i]->pid);
    text.block("the same holds of", others.empty() ? "" : "process " + others);
    add_cure(text, child, options);
  }
}

}  // namespace

std::string diagnosis_text(const Diagnosis& diagnosis, const TextOptions& options) {
  Text text(options);
  text.add("forkscope: ");
  if (diagnosis.finding && diagnosis.hung_children.empty())
    text.add(hang_lines(diagnosis, options));
  else
    text.add(headline(diagnosis, whole_answer(diagnosis), whole_sentence(diagnosis), options) + "\n");
  if (diagnosis.hung_children.empty()) {
    add_evidence(text, diagnosis, options);
    add_cure(text, diagnosis, options);
    return text.take();
  }
  add_children(text, diagnosis, options);
  // The question was about this one, the answer is not: its threads are an option away.
  text.block(fmt::format("process {} itself", diagnosis.pid), diagnosis.sentence);
  if (options.verbose) add_evidence(text, diagnosis, options);
  return text.take();
}

}  // namespace forkscope
