#include "detector/verdict/outside/retell.hpp"

#include <fmt/format.h>

#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// Not where another digit follows: "thread 12" is no part of "thread 123".
void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos;) {
    const std::size_t end = at + from.size();
    const bool whole = end == text.size() || text[end] < '0' || text[end] > '9';
    if (whole) text.replace(at, from.size(), to);
    at += whole ? to.size() : from.size();
  }
}

void retell(std::string& text, const Likeness& from, const Likeness& to) {
  replace_all(text, thread_words(from.pid, from.thread_name), thread_words(to.pid, to.thread_name));
  replace_all(text, fmt::format("process {} ", from.pid), fmt::format("process {} ", to.pid));
}

}  // namespace

Finding retold(Finding finding, const Likeness& from, const Likeness& to) {
  retell(finding.verdict, from, to);
  retell(finding.explanation, from, to);
  finding.process = finding.waiter.tid = to.pid;
  return finding;
}

Diagnosis retold(Diagnosis diagnosis, const Likeness& from, const Likeness& to) {
  retell(diagnosis.sentence, from, to);
  for (std::string& reason : diagnosis.reasons) retell(reason, from, to);
  diagnosis.pid = to.pid;
  for (ThreadDiagnosis& thread : diagnosis.threads) {
    if (thread.tid != from.pid) continue;
    thread.tid = to.pid;
    thread.name = to.thread_name;
  }
  if (diagnosis.finding) diagnosis.finding = retold(*std::move(diagnosis.finding), from, to);
  return diagnosis;
}

}  // namespace forkscope
