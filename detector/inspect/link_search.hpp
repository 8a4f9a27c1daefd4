// The search behind wait_links.hpp: from the stacks of threads and the code they are in, by pointers
// and calls, to what others wait for. Internal to inspect/. Not thread-safe.
#pragma once

#include <algorithm>
#include <deque>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "detector/inspect/code_references.hpp"
#include "detector/inspect/wait_links.hpp"
#include "detector/inspect/wrapped_start.hpp"
#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/memory_map.hpp"
#include "detector/verdict/outside/thread_view.hpp"

namespace forkscope::links {

inline constexpr std::size_t kMostObjects = 4096;
inline constexpr std::uint64_t kMostBytes = 4 << 20, kLargestObject = 1 << 20;
/// How far from a pointer an object reaches whose size is not known. The awaited word of a lock is
/// not further from its start.
inline constexpr std::uint64_t kNear = 64;
inline constexpr std::uint64_t kOnStack = 32;  ///< the same of a variable on a stack
inline constexpr std::uint64_t kMostWaitFrames = 2048;
inline constexpr std::size_t kMostCalled = 256;
inline constexpr int kCalls = 3;  ///< how deep they are followed
/// A variable with a symbol may be larger.
inline constexpr std::uint64_t kMostVariable = 1024;

struct Object {
  std::uint64_t start = 0, end = 0;
};

/// Where the thing lies that is waited for: some locks let each waiter sleep on a word of its own.
inline std::uint64_t lock_address(const ThreadView& view) {
  const bool own_word = view.family == LockFamily::kAbseil ||
                        view.family == LockFamily::kParkingLot || view.family == LockFamily::kPyMutex;
  return own_word && view.lock.address != 0 ? view.lock.address : view.wait.futex->address;
}

enum class Whose {
  kLost,    ///< threads that were not copied, of any wait that may be on purpose
  kLiving,  ///< the other threads of the process, of locks that do not say who holds them
};

/// A thread that may know of the waits.
struct Candidate {
  std::int32_t tid = 0;
  Object stack{};
  bool in_parent = false;      ///< the stack is to be read there: another thread has it here
  std::uint64_t own_from = 0;  ///< below, words that are as in the parent were left by another thread
  std::vector<std::uint64_t> code{};  ///< addresses in functions it was in
  int calls = kCalls;                 ///< how deep calls from there are followed
  bool idle = false;                  ///< it waits for a thread of its own process
  bool callbacks = true;              ///< functions that its data point to may be what it runs
};

/// One search, for all waits of a kind. Not to be used twice with other threads: what was seen is left out.
class LinkSearch {
 public:
  LinkSearch(const LinkMemory& memory, const Evidence& evidence, Namer& namer, Whose whose)
      : memory_(memory.own),
        parent_(memory.parent),
        process_(evidence.process),
        namer_(namer),
        code_(memory.own) {
    for (const ThreadView& view : view_threads(evidence)) {
      if (!view.wait.futex) continue;
      const ThreadEvidence& thread = *view.thread;
      const bool lock = is_ownerless_lock(view);
      if (!lock && (whose == Whose::kLiving || !may_park(thread.stack, process_.exe))) continue;
      const std::uint64_t address = lock_address(view);
      targets_.push_back({thread.tid, address, variable_at(address), false});
      waits_.push_back(frames_of_wait(thread));
      if (lock) continue;
      // That a function waits there says nothing of who causes the event. Who holds a lock took it
      // where others wait for it.
      for (const Frame& frame : thread.stack)
        if (const ModuleRecord* module = module_at(process_, frame.address - 1))
          code_.leave_out(frame.address - 1, *module);
    }
  }

  /// Who waits there as well wakes nobody.
  bool waits_there(const Wait& wait) const {
    return wait.futex && std::any_of(targets_.begin(), targets_.end(), [&](const Target& target) {
             return target.address == wait.futex->address;
           });
  }

  /// A thread that waits for a lock does not hold that one, but may hold another.
  void leave_out_wait_of(const ThreadEvidence& thread) {
    const Wait wait = wait_of(thread, process_.abi);
    std::uint64_t lock = wait.futex ? wait.futex->address : 0;
    for (const Target& target : targets_)
      if (target.tid == thread.tid) lock = target.address;
    std::erase_if(targets_, [&](const Target& target) { return target.address == lock; });
  }

  bool has_parent() const { return parent_ != nullptr; }

  /// A limit of work ended the search.
  bool exhausted() const { return bytes_left_ == 0 || seen_.size() >= kMostObjects; }

  /// There is nothing (more) to find.
  bool done() const {
    return std::all_of(targets_.begin(), targets_.end(),
                       [](const Target& target) { return target.found; });
  }

  /// What the threads know: from their stacks, from what those lead to, and from
  /// the code they were in, in this order for all of them. That code refers to a lock is true of
  /// every thread that ever takes it: one with a pointer to it is named before.
  void look(const std::vector<Candidate>& threads) {
    struct Found {
      std::deque<std::uint64_t> next;
      std::vector<std::uint64_t> called;
    };
    std::vector<Found> found;
    how_ = WaitLink::How::kStack;
    for (const Candidate& thread : threads) {
      tid_ = thread.tid;
      callbacks_ = thread.callbacks;
      scan_stack(thread);
      found.push_back({std::exchange(next_, {}), std::exchange(called_, {})});
    }
    how_ = WaitLink::How::kHeap;
    for (std::size_t i = 0; i < threads.size() && !done(); ++i) {
      tid_ = threads[i].tid;
      callbacks_ = threads[i].callbacks;
      next_ = std::move(found[i].next);
      called_ = std::move(found[i].called);
      follow();
      found[i].called = std::exchange(called_, {});
    }
    how_ = WaitLink::How::kCode;
    for (const bool idle : {false, true})
      for (std::size_t i = 0; i < threads.size() && !done(); ++i)
        if (threads[i].idle == idle) look_at_code(threads[i], std::move(found[i].called));
  }

  /// Whether all code can be looked at that may refer to what is waited for.
  bool can_look_at(const std::vector<std::uint64_t>& code) {
    return process_.abi == Abi::kX86_64 &&
           std::all_of(code.begin(), code.end(), [&](std::uint64_t pc) {
             const ModuleRecord* module = module_at(process_, pc);
             return module == nullptr || !holds_target(*module) || code_.knows(*module);
           });
  }

  /// Of a stack whose frames are not all known: whatever on it may be where a call returns to.
  void add_return_addresses(const Object& stack, std::vector<std::uint64_t>& code) {
    for (const std::uint64_t word : words_of(memory_, stack.start, stack.end)) {
      const Mapping* mapping = mapping_at(process_, word);
      const ModuleRecord* module =
          mapping != nullptr && mapping->executable ? module_at(process_, word) : nullptr;
      if (module != nullptr && !is_libc_module(module->path)) code.push_back(word - 1);
    }
  }

  /// Whether the thread may have called functions that its data points to. Of threads that were
  /// started in the child what they run is one.
  bool may_call_back(const ThreadEvidence& thread, std::span<const Frame> frames) {
    if (process_.abi != Abi::kX86_64 || &thread != &process_.threads.front()) return true;
    std::vector<std::uint64_t> running;
    for (const Frame& frame : thread.stack) running.push_back(frame.address);
    return std::any_of(frames.begin(), frames.end(), [&](const Frame& frame) {
      if (frame.inlined || is_libc_module(frame.module)) return false;
      const ModuleRecord* module = module_at(process_, frame.address);
      return module == nullptr ||
             code_.calls_by_pointer(frame.address - 1, *module, kCalls, running);
    });
  }

  std::vector<WaitLink> links;

 private:
  struct Target {
    std::int32_t tid;
    std::uint64_t address;
    std::string variable;  ///< empty: not in the data of a file, or its name is not known
    bool found;
  };

  /// "pool" for "pool.done" and "pool[2].done+0x8".
  std::string variable_at(std::uint64_t address) {
    const ModuleRecord* module = module_at(process_, address);
    if (module == nullptr) return {};
    LockInfo place;
    place.address = address;
    namer_.data(place, process_.modules);
    const std::size_t end = place.symbol.find_first_of("[+.");
    return place.symbol.empty() ? "" : module->path + ":" + place.symbol.substr(0, end);
  }

  /// malloc's own note of the size stands before the object, and the next one's says that this one
  /// is in use (malloc/malloc.c, "struct malloc_chunk").
  std::optional<Object> allocated_at(std::uint64_t address, const Mapping& mapping) {
    if (address % 16 != 0 || address < mapping.start + 16) return std::nullopt;
    const auto header = memory_.get<std::uint64_t>(address - 8);
    const std::uint64_t size = header ? *header & ~std::uint64_t{7} : 0;
    if (size < 32 || size % 16 != 0 || size > kLargestObject ||
        address - 16 + size + 16 > mapping.end) {
      return std::nullopt;
    }
    const auto next = memory_.get<std::uint64_t>(address - 16 + size + 8);
    if (!next || (*next & 1) == 0 || (*next & ~std::uint64_t{7}) < 16) return std::nullopt;
    return Object{address, address + size - 8};
  }

  /// Where the frames of the functions that wait are: from the stack pointer to the return address
  /// into the program's own code. Nothing there was given to a thread.
  Object frames_of_wait(const ThreadEvidence& thread) {
    const auto& stack = thread.stack;
    const Frame* inner = innermost_program_frame(stack);
    if (inner == nullptr || !thread.call) return {};
    const auto caller = std::find_if(stack.begin(), stack.end(), [&](const Frame& frame) {
      return !frame.inlined && &frame >= inner && !is_waiting_library(frame.module);
    });
    if (caller == stack.end()) return {};
    const std::uint64_t sp = thread.call->sp;
    const std::vector<std::uint64_t> words = words_of(memory_, sp, sp + kMostWaitFrames);
    const auto at = std::find(words.begin(), words.end(), caller->address);
    return at != words.end() ? Object{sp, sp + 8 * std::uint64_t(at - words.begin())} : Object{};
  }

  bool is_of_wait(std::uint64_t address) const {
    return std::any_of(waits_.begin(), waits_.end(), [&](const Object& frames) {
      return address >= frames.start && address < frames.end;
    });
  }

  void find(Target& target) {
    target.found = true;
    links.push_back({target.tid, tid_, how_});
  }

  /// A word that may be a pointer.
  void see(std::uint64_t value) {
    for (Target& target : targets_) {
      if (target.found || value > target.address) continue;
      const std::uint64_t distance = target.address - value;
      if (target.variable.empty()) {
        if (distance < kNear) find(target);
      } else if (distance < kMostVariable && value % 4 == 0 &&
                 variable_at(value) == target.variable) {
        find(target);
      }
    }
    const Mapping* mapping = mapping_at(process_, value);
    if (mapping == nullptr || mapping->shared) return;
    // libc's lists of all threads, and what our own library notes of their locks, no thread knows.
    const ModuleRecord* module = module_at(process_, value);
    if (module != nullptr &&
        (is_libc_module(module->path) || is_library(module->path, "libforkscope")))
      return;
    if (mapping->writable && seen_.size() < kMostObjects && seen_.insert(value).second)
      next_.push_back(value);
  }

  /// A word of data may be a function to call as well: std::function has one, and what is given to
  /// pthread_create.
  void see_data(std::uint64_t value) {
    see(value);
    const Mapping* mapping = callbacks_ ? mapping_at(process_, value) : nullptr;
    if (mapping == nullptr || !mapping->executable || called_.size() >= kMostCalled) return;
    const ModuleRecord* module = module_at(process_, value);
    if (module != nullptr && code_.begins_at(value, *module)) called_.push_back(value);
  }

  void look_at_code(const Candidate& thread, std::vector<std::uint64_t> called) {
    tid_ = thread.tid;
    callbacks_ = thread.callbacks;
    called_ = std::move(called);
    for (const std::uint64_t pc : thread.code) look_at_code(pc, thread.calls);
    while (!next_.empty() || !called_.empty()) {
      for (const std::uint64_t pc : std::exchange(called_, {})) look_at_code(pc, kCalls);
      follow();
      if (done()) break;
    }
    called_.clear();
  }

  void look_at_code(std::uint64_t pc, int calls) {
    const ModuleRecord* module = module_at(process_, pc);
    // What libraries refer to is theirs, and not a variable of the program.
    if (module == nullptr || process_.abi != Abi::kX86_64 || !holds_target(*module)) return;
    code_.look(pc, *module, calls, [&](std::uint64_t address) {
      if (address >= module->start && address < module->end) see(address);
    });
  }

  bool holds_target(const ModuleRecord& module) const {
    return std::any_of(targets_.begin(), targets_.end(), [&](const Target& target) {
      return module.path == process_.exe ||
             (target.address >= module.start && target.address < module.end);
    });
  }

  void follow() {
    while (!next_.empty() && bytes_left_ > 0 && !done()) {
      const std::uint64_t address = next_.front();  // near things first
      next_.pop_front();
      const Mapping* mapping = mapping_at(process_, address);
      if (is_stack(*mapping)) {  // a variable of a function that gave it to the thread
        if (is_of_wait(address)) continue;
        scan({address, std::min(address + kOnStack, mapping->end)});
        continue;
      }
      const auto object = allocated_at(address, *mapping);
      if (object)
        for (Target& target : targets_)
          if (!target.found && target.address >= object->start && target.address < object->end)
            find(target);
      scan(object ? *object : Object{address, std::min(address + kNear, mapping->end)});
    }
    next_.clear();
  }

  static std::vector<std::uint64_t> words_of(ProcessMemory& memory, std::uint64_t start,
                                             std::uint64_t end) {
    if (end < start + 8) return {};
    std::vector<std::uint64_t> words((end - start) / 8);
    if (!memory.read(start, std::as_writable_bytes(std::span(words)))) words.clear();
    return words;
  }

  void scan(const Object& object) {
    const std::vector<std::uint64_t> words =
        words_of(memory_, (object.start + 7) / 8 * 8, object.end);
    bytes_left_ -= std::min<std::uint64_t>(bytes_left_, words.size() * 8);
    for (const std::uint64_t word : words) see_data(word);
  }

  void scan_stack(const Candidate& thread) {
    const std::uint64_t start = (thread.stack.start + 7) / 8 * 8;
    ProcessMemory& memory = thread.in_parent ? *parent_ : memory_;
    const std::vector<std::uint64_t> words = words_of(memory, start, thread.stack.end);
    bytes_left_ -= std::min<std::uint64_t>(bytes_left_, words.size() * 8);
    std::vector<std::uint64_t> before;
    if (parent_ != nullptr && !thread.in_parent)
      before = words_of(*parent_, start, std::min(thread.own_from, thread.stack.end));
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (i >= before.size() || before[i] != words[i]) see_data(words[i]);
      if (i > 0) see_wrapped(memory, {words[i - 1], words[i]});
    }
  }

  /// In libc's descriptor the function that a thread was started with stands before its argument;
  /// under libforkscope.so both are the library's, which keeps the program's.
  void see_wrapped(ProcessMemory& memory, const ThreadStart& given) {
    const ModuleRecord* module = module_at(process_, given.function);
    if (module == nullptr || !is_library(module->path, "libforkscope")) return;
    const auto program = unwrapped(memory, process_, given);
    if (!program) return;
    see_data(program->function);
    see_data(program->argument);
  }

  /// A stack of the process's own. They are full of what was once.
  bool is_stack(const Mapping& mapping) const {
    return mapping.path.starts_with("[stack") ||
           std::any_of(process_.threads.begin(), process_.threads.end(),
                       [&](const ThreadEvidence& thread) {
                         return thread.call && thread.call->sp >= mapping.start &&
                                thread.call->sp < mapping.end;
                       });
  }

  ProcessMemory& memory_;
  ProcessMemory* parent_;
  const ProcessEvidence& process_;
  Namer& namer_;
  CodeReferences code_;
  std::vector<Target> targets_;
  std::vector<Object> waits_;  ///< of those threads
  std::unordered_set<std::uint64_t> seen_;
  std::deque<std::uint64_t> next_;
  std::vector<std::uint64_t> called_;
  std::uint64_t bytes_left_ = kMostBytes;
  std::int32_t tid_ = 0;
  bool callbacks_ = true;
  WaitLink::How how_ = WaitLink::How::kStack;
};

}  // namespace forkscope::links
