// What one case of `forkscope bench` measures, and its name.
//
// A name is a method and what differs from the usual parent: "fork/resident=64MiB/threads=100". It
// is the key of the case everywhere: in the plan, in the JSON report, in --filter, and as the
// argument of the measuring programs, so that every number can be repeated by its name.
// Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace forkscope::cost {

struct Spec {
  std::string method = "fork";
  std::string memory = "dirty";  ///< what the parent's memory is: memory_kinds()
  std::string imports;           ///< modules a Python parent imports, with '+' between them
  std::string first;             ///< "child" or "parent": who writes first; else nobody writes

  std::uint64_t resident = 1 << 20;  ///< bytes, on top of the process itself
  std::uint64_t written = 0;      ///< per cent of the pages that `first` and then the other write
  std::uint64_t threads = 0;      ///< further ones, blocked in read(2)
  std::uint64_t descriptors = 0;  ///< further ones, close-on-exec
  std::uint64_t mappings = 0;     ///< further ones, of one written page
  std::uint64_t handlers = 0;     ///< empty ones, registered by pthread_atfork
  std::uint64_t concurrency = 1;  ///< threads of the parent that do it at the same time
  std::uint64_t environment = 0;  ///< bytes, further ones
  std::uint64_t arguments = 0;    ///< bytes, further ones
  std::uint64_t stall = 0;        ///< 1: another thread faults pages in, and its worst is taken
  std::uint64_t tasks = 0;        ///< not 0: a pool that does so many tasks,
  std::uint64_t task = 0;         ///< each of so many milliseconds of processor time,
  std::uint64_t workers = 1;      ///< with so many at once,
  std::uint64_t reuse = 0;        ///< 1: started once; else a new process for each task
  std::uint64_t control = 0;      ///< not 0: the same once more, to see what noise does

  bool operator==(const Spec&) const = default;
};

/// A method, and what it is good for.
struct Method {
  const char* name;
  const char* title;
  bool executes;  ///< the child is another program
  bool python;
};
const std::vector<Method>& methods();
/// nullptr when there is none of this name.
const Method* find_method(const std::string& name);

const std::vector<std::string>& memory_kinds();

/// Throws std::invalid_argument with one sentence.
Spec parse_spec(const std::string& name);
/// parse_spec(name_of(spec)) == spec.
std::string name_of(const Spec& spec);

/// "64MiB": the largest unit that divides it. 0 is "0".
std::string size_text(std::uint64_t bytes);
/// Of "64MiB", "1GiB", "4096". Throws std::invalid_argument.
std::uint64_t parse_size(const std::string& text);

}  // namespace forkscope::cost
