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

/// Whether a file is called `stem`, whatever its version: "libc.so.6" and "libc-2.31.so" are libc,
/// "libcrypto.so" and "libc-client.so" are not.
bool is_called(std::string_view file, std::string_view stem) {
  if (!file.starts_with(stem)) return false;
  std::string_view rest = file.substr(stem.size());
  if (rest.starts_with('-')) rest.remove_prefix(1);
  return rest.empty() || rest.front() == '.' ||
         std::isdigit(static_cast<unsigned char>(rest.front())) != 0;
}

template <std::size_t N>
bool is_one_of(const std::string& module, const std::string_view (&stems)[N]) {
  const std::string name = base_name(module);
  return std::any_of(std::begin(stems), std::end(stems),
                     [&](std::string_view stem) { return is_called(name, stem); });
}

/// Interpreters: where they are in their own code says nothing of the program that they run. Their
/// standard library's part in C is theirs, too.
bool is_interpreter(const std::string& module) {
  constexpr std::string_view kInterpreters[] = {
      "python", "libpython", "ruby",   "libruby", "node",   "nodejs", "libnode", "perl", "libperl",
      "java",   "libjvm",    "libjli", "php",     "libphp", "lua",    "liblua",  "R",    "libR"};
  return is_one_of(module, kInterpreters) || module.find("/lib-dynload/") != std::string::npos;
}

bool is_program_frame(const Frame& frame) {
  if (is_library(frame.module, "linux-vdso") || is_library(frame.module, "libforkscope"))
    return false;
  return !frame.inlined && !is_runtime_module(frame.module) && !is_standard_library(frame);
}

/// A place that somebody who wrote the program, or a library of it, knows.
bool is_place(const Frame& frame) {
  return is_program_frame(frame) && !frame.module.empty() && !is_interpreter(frame.module);
}

/// Of Python's standard library, as it is installed or frozen into the interpreter.
bool is_standard_python(const PythonFrame& frame) {
  const std::string_view file = frame.file;
  if (file.starts_with("<frozen ")) return true;
  const std::size_t library = file.find("/lib/python3") != std::string_view::npos
                                  ? file.find("/lib/python3")
                                  : file.find("/lib64/python3");
  return library != std::string_view::npos &&
         file.find("-packages/", library) == std::string_view::npos;
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
  // sem_t and pthread_barrier_t have an array at their start, which not every look goes into.
  while (result.ends_with("[]")) result.resize(result.size() - 2);
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

/// The same without the type, where the place says enough: who looks from outside may know the lock
/// by another type than the library does.
std::string place_words(const LockInfo& lock) {
  if (!lock.name.empty() || lock.descriptor || is_runtime_module(lock.module)) return words_of(lock);
  if (!lock.symbol.empty())
    return fmt::format("{} ({})", without_index(lock.symbol), module_name(lock.module));
  if (!lock.module.empty()) return fmt::format("{}+{:#x}", module_name(lock.module), lock.offset);
  return words_of(lock);
}

bool is_named(const LockInfo& lock) {
  return !lock.name.empty() || !lock.symbol.empty() || (lock.descriptor && !lock.file.empty()) ||
         (!lock.module.empty() && !is_runtime_module(lock.module));
}

/// A fault's address and a thread's handle differ from child to child, and it is the same mistake.
bool counts_place(const Finding& finding) {
  return finding.lock.type != "thread" && finding.kind != "missing-memory";
}

/// Whether the lock itself is a place in the program.
bool is_place(const LockInfo& lock) {
  return is_named(lock) && (!lock.name.empty() || lock.descriptor ||
                            !(is_runtime_module(lock.module) || is_interpreter(lock.module)));
}

/// Where it was met in machine code. Of a lock without a name more frames count.
std::vector<const Frame*> waiter_sites(const Finding& finding) {
  std::vector<const Frame*> sites;
  const bool one = is_named(finding.lock) || finding.evidence == "spins" ||
                   !finding.waiter.python.empty();
  const std::size_t most = one ? 1 : kNamelessFrames;
  for (const Frame& frame : finding.waiter.stack)
    if (is_place(frame) && sites.size() < most) sites.push_back(&frame);
  return sites;
}

/// The same in Python: functions of the program, and what they called of the standard library.
std::vector<const PythonFrame*> python_sites(const Finding& finding) {
  std::vector<const PythonFrame*> sites;
  for (const PythonFrame& frame : finding.waiter.python) {
    if (!sites.empty() && is_standard_python(frame)) continue;
    sites.push_back(&frame);
    if (sites.size() > kNamelessFrames) break;
  }
  return sites;
}

std::string words_of(const PythonFrame& frame) {
  return fmt::format("{} ({})", frame.function, base_name(frame.file));
}

template <typename T>
std::string chain(const std::vector<const T*>& frames) {
  std::string words;
  for (const T* frame : frames) words += (words.empty() ? "" : " < ") + words_of(*frame);
  return words;
}

/// That a child meets a lock or waits for a thread in vain is one mistake: of a semaphore without an
/// owner, a handler of pthread_atfork or a mutex of the forker itself, the library can tell more
/// kinds apart than who looks from outside.
std::string kind_of_mistake(const Finding& finding) {
  for (const char* kind : {"orphaned-lock", "lost-thread", "self-held-lock", "stale-owner",
                           "libc-lock", "atfork-handler"})
    if (finding.kind == kind && finding.waiter.tid != 0) return "waits";
  return finding.kind;
}

/// What a finding is told from others by.
struct Sites {
  std::vector<std::string> parts;  ///< without the lock
  bool in_program = false;         ///< one of them is a place in the program
};

/// In machine code: the call's own function where nothing better is known.
Sites machine_sites(const std::vector<Frame>& stack, std::string_view what) {
  const Frame* site = site_of(stack);
  if (site == nullptr) return {};
  return {{std::string(what) + words_of(*site)}, is_place(*site)};
}

Sites sites_of(const Finding& finding) {
  Sites sites;
  const std::vector<const Frame*> machine = waiter_sites(finding);
  const std::vector<const PythonFrame*> python = python_sites(finding);
  if (!machine.empty()) sites.parts.push_back("met in " + chain(machine));
  if (!python.empty()) sites.parts.push_back("in Python in " + chain(python));
  sites.in_program =
      !machine.empty() || std::any_of(python.begin(), python.end(), [](const PythonFrame* frame) {
        return !is_standard_python(*frame);
      });
  if (!sites.parts.empty()) return sites;
  const auto add = [&](const Sites& more) {
    sites.parts.insert(sites.parts.end(), more.parts.begin(), more.parts.end());
    sites.in_program = sites.in_program || more.in_program;
  };
  // Nobody has met it, or only code that every program has. Who took a lock is asked only here:
  // which of the places that take it a thread was at when another one forked is chance, and so is
  // which thread was missed.
  if (!is_named(finding.lock) && finding.kind != "lost-thread" && finding.kind != "libc-lock")
    add(machine_sites(finding.holder.acquired, "taken in "));
  if (!finding.waiter.stack.empty())
    add(machine_sites(finding.waiter.stack, "met in "));
  else
    add(machine_sites(finding.fork_stack, "forked in "));
  return sites;
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
  std::vector<std::string> parts = sites_of(finding).parts;
  const bool has_lock = !finding.lock.type.empty() || is_named(finding.lock);
  if (counts_place(finding) && has_lock) parts.insert(parts.begin(), words_of(finding.lock));
  // Of what is no lock, the call is part of what it is.
  if (!has_lock && !finding.waiter.call.empty())
    parts.push_back("by " + without_parameters(finding.waiter.call));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string finding_key(const Finding& finding, const std::string& aspect) {
  const Sites sites = sites_of(finding);
  std::vector<std::string> parts = sites.parts;
  const LockInfo& lock = finding.lock;
  // Where a lock without a name was met says which one it is.
  if (counts_place(finding) &&
      (is_place(lock) || lock.descriptor || (!sites.in_program && !lock.type.empty())))
    parts.insert(parts.begin(), place_words(lock));
  if (lock.type.empty() && !is_named(lock) && !finding.waiter.call.empty())
    parts.push_back("by " + without_parameters(finding.waiter.call));
  return fmt::format("{}{:016x}", kFingerprintPrefix,
                     hash_of(fmt::format("{}\n{}\n{}", kind_of_mistake(finding), aspect,
                                         fmt::join(parts, ", "))));
}

std::string fingerprint_of(const Finding& finding, const std::string& aspect) {
  const bool known =
      (counts_place(finding) && is_place(finding.lock)) || sites_of(finding).in_program;
  return known ? finding_key(finding, aspect) : std::string(kUnidentified);
}

}  // namespace forkscope
