#include "bench/cost/spec.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

namespace forkscope::cost {
namespace {

enum class Kind { kCount, kSize, kMilliseconds, kPercent };

struct NumberField {
  const char* key;
  std::uint64_t Spec::*member;
  Kind kind;
};

constexpr NumberField kNumbers[] = {
    {"resident", &Spec::resident, Kind::kSize},
    {"written", &Spec::written, Kind::kPercent},
    {"threads", &Spec::threads, Kind::kCount},
    {"descriptors", &Spec::descriptors, Kind::kCount},
    {"mappings", &Spec::mappings, Kind::kCount},
    {"handlers", &Spec::handlers, Kind::kCount},
    {"concurrency", &Spec::concurrency, Kind::kCount},
    {"environment", &Spec::environment, Kind::kSize},
    {"arguments", &Spec::arguments, Kind::kSize},
    {"stall", &Spec::stall, Kind::kCount},
    {"tasks", &Spec::tasks, Kind::kCount},
    {"task", &Spec::task, Kind::kMilliseconds},
    {"workers", &Spec::workers, Kind::kCount},
    {"reuse", &Spec::reuse, Kind::kCount},
    {"control", &Spec::control, Kind::kCount},
};

struct WordField {
  const char* key;
  std::string Spec::*member;
};

constexpr WordField kWords[] = {
    {"memory", &Spec::memory}, {"imports", &Spec::imports}, {"first", &Spec::first}};

struct Unit {
  const char* name;
  std::uint64_t bytes;
};
constexpr Unit kUnits[] = {
    {"GiB", std::uint64_t{1} << 30}, {"MiB", std::uint64_t{1} << 20}, {"KiB", 1024}};

const char* suffix(Kind kind) {
  return kind == Kind::kMilliseconds ? "ms" : kind == Kind::kPercent ? "%" : "";
}

std::uint64_t parse_number(const std::string& text, std::size_t& used) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  used = std::size_t(end - text.data());
  if (error != std::errc()) throw std::invalid_argument("'" + text + "' is no number");
  return value;
}

std::string value_text(const NumberField& field, std::uint64_t value) {
  return field.kind == Kind::kSize ? size_text(value) : std::to_string(value) + suffix(field.kind);
}

std::uint64_t parse_value(const NumberField& field, const std::string& text) {
  if (field.kind == Kind::kSize) return parse_size(text);
  std::size_t used = 0;
  const std::uint64_t value = parse_number(text, used);
  if (text.substr(used) != suffix(field.kind) || (field.kind == Kind::kPercent && value > 100))
    throw std::invalid_argument("'" + text + "' is no value for " + field.key);
  return value;
}

bool set_field(Spec& spec, const std::string& key, const std::string& value) {
  for (const NumberField& field : kNumbers) {
    if (key != field.key) continue;
    spec.*field.member = parse_value(field, value);
    return true;
  }
  for (const WordField& field : kWords) {
    if (key != field.key) continue;
    spec.*field.member = value;
    return true;
  }
  return false;
}

void check(const Spec& spec) {
  const auto& kinds = memory_kinds();
  if (find_method(spec.method) == nullptr)
    throw std::invalid_argument("there is no method '" + spec.method + "'");
  if (std::find(kinds.begin(), kinds.end(), spec.memory) == kinds.end())
    throw std::invalid_argument("there is no memory of kind '" + spec.memory + "'");
  if (!spec.first.empty() && spec.first != "child" && spec.first != "parent")
    throw std::invalid_argument("first is child or parent, not '" + spec.first + "'");
  if (spec.concurrency == 0 || spec.workers == 0)
    throw std::invalid_argument("concurrency and workers are 1 at least");
}

}  // namespace

const std::vector<Method>& methods() {
  static const std::vector<Method> all{
      {"fork", "fork()", false, false},
      {"_Fork", "_Fork() (no at-fork handlers)", false, false},
      {"clone3", "clone3() system call without CLONE_VM", false, false},
      {"vfork", "vfork(), child does _exit()", false, false},
      {"clone-vm", "clone(CLONE_VM | CLONE_VFORK), child does _exit()", false, false},
      {"thread", "pthread_create() (the yardstick)", false, false},
      {"fork-exec", "fork() + execve()", true, false},
      {"vfork-exec", "vfork() + execve()", true, false},
      {"posix_spawn", "posix_spawn()", true, false},
      {"pidfd_spawn", "pidfd_spawn() (glibc 2.39)", true, false},
      {"clone-vm-exec", "clone(CLONE_VM | CLONE_VFORK) + execve()", true, false},
      {"clone3-vm-exec", "clone3(CLONE_VM | CLONE_VFORK) + execve()", true, false},
      {"system", "system() (a shell)", true, false},
      {"popen", "popen() (a shell and a pipe)", true, false},
      {"forkserver", "fork server over a Unix socket", false, false},
      {"zygote", "zygote: a child that is ready and waits", false, false},
      {"python-fork", "multiprocessing, fork", false, true},
      {"python-forkserver", "multiprocessing, forkserver", false, true},
      {"python-spawn", "multiprocessing, spawn", true, true},
  };
  return all;
}

const Method* find_method(const std::string& name) {
  for (const Method& method : methods())
    if (name == method.name) return &method;
  return nullptr;
}

const std::vector<std::string>& memory_kinds() {
  static const std::vector<std::string> kinds{"dirty", "clean",  "fragmented", "huge",
                                              "file",  "shared", "dontfork"};
  return kinds;
}

std::string size_text(std::uint64_t bytes) {
  for (const Unit& unit : kUnits)
    if (bytes >= unit.bytes && bytes % unit.bytes == 0)
      return std::to_string(bytes / unit.bytes) + unit.name;
  return std::to_string(bytes);
}

std::uint64_t parse_size(const std::string& text) {
  std::size_t used = 0;
  const std::uint64_t value = parse_number(text, used);
  const std::string unit = text.substr(used);
  if (unit.empty()) return value;
  for (const Unit& known : kUnits) {
    if (unit != known.name) continue;
    if (value > std::numeric_limits<std::uint64_t>::max() / known.bytes) break;
    return value * known.bytes;
  }
  throw std::invalid_argument("'" + text + "' is no size; write 64MiB or 1GiB");
}

Spec parse_spec(const std::string& name) {
  Spec spec;
  std::size_t begin = 0;
  for (bool first = true; begin <= name.size(); first = false) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    begin = end + 1;
    if (first) {
      spec.method = part;
      continue;
    }
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos ||
        !set_field(spec, part.substr(0, equals), part.substr(equals + 1)))
      throw std::invalid_argument("in the case '" + name + "': '" + part + "' is not known");
  }
  check(spec);
  return spec;
}

std::string name_of(const Spec& spec) {
  static const Spec usual;
  std::string name = spec.method;
  for (const WordField& field : kWords)
    if (spec.*field.member != usual.*field.member)
      name += std::string("/") + field.key + "=" + spec.*field.member;
  for (const NumberField& field : kNumbers)
    if (spec.*field.member != usual.*field.member)
      name += std::string("/") + field.key + "=" + value_text(field, spec.*field.member);
  return name;
}

}  // namespace forkscope::cost
