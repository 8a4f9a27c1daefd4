#include "detector/verdict/fingerprint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// Frames of the wait that count where the lock itself has no name to tell it from others.
constexpr std::size_t kNamelessFrames = 3;

bool is_program_frame(const Frame& frame) {
  return !frame.inlined && !is_runtime_module(frame.module) && !is_standard_library(frame);
}

/// Names of temporary files and logs have process ids and dates in them.
std::string without_numbers(const std::string& text) {
  std::string result;
  for (char c : text) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (!digit)
      result += c;
    else if (result.empty() || result.back() != '#')
      result += '#';
  }
  return result;
}

std::string words_of(const Frame& frame) {
  const std::string module = frame.module.empty() ? "?" : module_name(frame.module);
  if (!frame.function.empty())
    return fmt::format("{} ({})", without_parameters(frame.function), module);
  // Nothing else tells it; code without a module (made at run time) has not even that.
  return frame.module.empty() ? module : fmt::format("{}+{:#x}", module, frame.offset);
}

/// "shards[17].lock" gives "shards[].lock", and "shards+0x680", which is the same without debug
/// information, "shards": which one of many it was is chance.
std::string without_index(const std::string& symbol) {
  std::string text = symbol;
  const std::size_t plus = text.rfind("+0x");
  if (plus != std::string::npos && plus > 0 &&
      text.find_first_not_of("0123456789abcdef", plus + 3) == std::string::npos)
    text.resize(plus);
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] != '[') continue;
    const std::size_t end = text.find_first_not_of("0123456789", i + 1);
    if (end != std::string::npos && text[end] == ']') i = end - 1;
  }
  return result;
}

std::string words_of(const LockInfo& lock) {
  if (!lock.name.empty()) return fmt::format("{} \"{}\"", lock.type, lock.name);
  if (lock.descriptor && lock.file.empty()) return lock.type;
  if (lock.descriptor)
    return fmt::format("{} on {}", lock.type, without_numbers(base_name(lock.file)));
  if (!lock.symbol.empty())
    return fmt::format("{} {} ({})", lock.type, without_index(lock.symbol),
                       module_name(lock.module));
  // libc's own variables have no symbols where its debug information is missing; that there are
  // two names for one is worse there than one for two.
  if (is_runtime_module(lock.module)) return fmt::format("{} ({})", lock.type, module_name(lock.module));
  if (!lock.module.empty())
    return fmt::format("{} {}+{:#x}", lock.type, module_name(lock.module), lock.offset);
  return lock.type;
}

bool is_named(const LockInfo& lock) {
  return !lock.name.empty() || !lock.symbol.empty() || (lock.descriptor && !lock.file.empty()) ||
         (!lock.module.empty() && !is_runtime_module(lock.module));
}

/// A fault's address and a thread's handle differ from child to child, and it is the same mistake.
bool counts_place(const Finding& finding) {
  return finding.lock.type != "thread" && finding.kind != "missing-memory";
}

/// Who took it: only where nothing else tells which lock it is. Which of the places that take a lock
/// a thread was at when another one forked is chance, and so is which thread was missed.
const Frame* holder_site(const Finding& finding) {
  if (is_named(finding.lock) || finding.kind == "lost-thread" || finding.kind == "libc-lock")
    return nullptr;
  return site_of(finding.holder.acquired);
}

std::vector<const Frame*> waiter_sites(const Finding& finding) {
  std::vector<const Frame*> sites;
  const std::size_t most =
      is_named(finding.lock) || finding.evidence == "spins" ? 1 : kNamelessFrames;
  for (const Frame& frame : finding.waiter.stack)
    if (is_program_frame(frame) && sites.size() < most) sites.push_back(&frame);
  if (const Frame* site = site_of(finding.waiter.stack); sites.empty() && site != nullptr)
    sites.push_back(site);
  return sites;
}

bool is_python(const std::vector<Frame>& stack) {
  return std::any_of(stack.begin(), stack.end(), [](const Frame& frame) {
    return frame.function.starts_with("_PyEval_EvalFrameDefault");
  });
}

std::uint64_t hash_of(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

const Frame* site_of(const std::vector<Frame>& stack) {
  const auto found = std::find_if(stack.begin(), stack.end(), is_program_frame);
  if (found != stack.end()) return &*found;
  const auto physical =
      std::find_if(stack.begin(), stack.end(), [](const Frame& frame) { return !frame.inlined; });
  return physical == stack.end() ? nullptr : &*physical;
}

std::string without_parameters(std::string_view function) {
  std::string_view name = function;
  for (std::string_view qualifier : {" const", " volatile", " &", " &&"})
    if (name.ends_with(qualifier)) name.remove_suffix(qualifier.size());
  if (!name.ends_with(')')) return std::string(function);
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    if (name[i] == ')') ++depth;
    if (name[i] == '(' && --depth == 0) {
      // "(anonymous namespace)" and "operator()" without parameters keep theirs.
      const std::string_view front = name.substr(0, i);
      const bool is_name = front.empty() || front.ends_with("::") ||
                           (front.ends_with("operator") && name.ends_with("()"));
      return std::string(is_name ? function : front);
    }
  }
  return std::string(function);
}

std::string module_name(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  std::string name(path.substr(path.rfind('/') + 1));
  if (const std::size_t version = name.find(".so."); version != std::string::npos)
    name.resize(version + 3);
  return name;
}

bool is_fingerprint(std::string_view text) {
  return text.size() == kFingerprintPrefix.size() + 16 && text.starts_with(kFingerprintPrefix) &&
         text.find_first_not_of("0123456789abcdef", kFingerprintPrefix.size()) ==
             std::string_view::npos;
}

std::string site_words(const Finding& finding) {
  std::vector<std::string> parts;
  const bool has_lock = !finding.lock.type.empty() || is_named(finding.lock);
  if (counts_place(finding) && has_lock) parts.push_back(words_of(finding.lock));
  if (const Frame* acquired = holder_site(finding)) parts.push_back("taken in " + words_of(*acquired));
  const std::vector<const Frame*> waits = waiter_sites(finding);
  if (!waits.empty()) {
    std::string words;
    for (const Frame* frame : waits) words += (words.empty() ? "" : " < ") + words_of(*frame);
    parts.push_back("met in " + words);
  }
  // Of a nameless lock, and of what is none, the call is part of what it is.
  if (!is_named(finding.lock) && !finding.waiter.call.empty())
    parts.push_back("by " + without_parameters(finding.waiter.call));
  // All locks of Python look alike from C.
  if (is_python(finding.waiter.stack) && !finding.waiter.python.empty()) {
    const PythonFrame& frame = finding.waiter.python.front();
    parts.push_back(fmt::format("in Python in {} ({})", frame.function, base_name(frame.file)));
  }
  if (waits.empty())
    if (const Frame* fork = site_of(finding.fork_stack)) parts.push_back("forked in " + words_of(*fork));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string fingerprint_of(const Finding& finding, const std::string& aspect) {
  return fmt::format("{}{:016x}", kFingerprintPrefix,
                     hash_of(finding.kind + "\n" + aspect + "\n" + site_words(finding)));
}

}  // namespace forkscope
