#include "detector/inspect/python/thread_states.hpp"

#include <algorithm>
#include <unordered_set>

#include "detector/inspect/python/field.hpp"

namespace forkscope::python {
namespace {

constexpr std::size_t kMostInterpreters = 256;
constexpr std::size_t kMostThreads = 65536;

bool plausible(std::uint64_t pointer) { return pointer >= 4096 && pointer % 8 == 0; }

}  // namespace

bool ThreadStates::refresh() {
  states_.clear();
  interpreters_.clear();
  heads_.clear();
  auto interpreter = memory_.get<std::uint64_t>(runtime_ + layout_.runtime_interpreters);
  if (!interpreter || *interpreter == 0) return false;
  while (interpreter && *interpreter != 0 && interpreters_.size() < kMostInterpreters) {
    if (std::find(interpreters_.begin(), interpreters_.end(), *interpreter) !=
            interpreters_.end() ||
        !read_interpreter(*interpreter, states_)) {
      states_.clear();
      return false;
    }
    interpreter = memory_.get<std::uint64_t>(*interpreter + layout_.interpreter_next);
  }
  return true;
}

bool ThreadStates::read_interpreter(std::uint64_t interpreter, std::vector<ThreadState>& out) {
  if (!plausible(interpreter)) return false;
  const auto head = memory_.get<std::uint64_t>(interpreter + layout_.interpreter_threads);
  if (!head) return false;
  interpreters_.push_back(interpreter);
  heads_.push_back(*head);
  std::uint64_t at = *head;
  std::unordered_set<std::uint64_t> met;
  while (at != 0) {
    ThreadState state;
    if (out.size() >= kMostThreads || !met.insert(at).second) return false;
    // Each state leads back to its interpreter: what a wrong layout or a list that is being changed
    // would not do.
    if (!plausible(at) || !read_state(at, state) || state.interpreter != interpreter) return false;
    state.glibc_tid = glibc_tid(state.pthread);
    out.push_back(state);
    const auto next = memory_.get<std::uint64_t>(at + layout_.thread_next);
    if (!next) return false;
    at = *next;
  }
  return true;
}

bool ThreadStates::read_state(std::uint64_t address, ThreadState& out) {
  const std::vector<std::byte> bytes = read_span(memory_, address, layout_.thread_span());
  if (bytes.empty()) return false;
  out.address = address;
  out.interpreter = field<std::uint64_t>(bytes, layout_.thread_interpreter);
  out.pthread = field<std::uint64_t>(bytes, layout_.thread_pthread);
  if (layout_.thread_native != InterpreterLayout::kNone) {
    out.native = field<std::int32_t>(bytes, layout_.thread_native);
  }
  out.frame = field<std::uint64_t>(bytes, layout_.thread_frame);
  return true;
}

/// nptl/descr.h: a pthread_t is the address of a descriptor with a ring of list entries, the thread
/// ID after it. The padding before the two differs; it has been the same since glibc 2.4.
std::int32_t ThreadStates::glibc_tid(std::uint64_t pthread) {
  constexpr std::uint64_t kX86_64 = 704, kGeneric = 192;
  struct Entry {
    std::uint64_t next, previous;
    std::int32_t tid;
  };
  if (!plausible(pthread)) return 0;
  for (const std::uint64_t offset : {kX86_64, kGeneric}) {
    const std::uint64_t address = pthread + offset;
    const auto entry = memory_.get<Entry>(address);
    if (!entry || !plausible(entry->next)) continue;
    if (memory_.get<std::uint64_t>(entry->next + 8) == address && entry->tid >= 0) {
      return entry->tid;
    }
  }
  return 0;
}

/// Nothing of what was read of it is different now, but for its frame.
bool ThreadStates::current(const ThreadState& state) {
  ThreadState now;
  if (!read_state(state.address, now)) return false;
  now.glibc_tid = glibc_tid(now.pthread);
  now.frame = state.frame;
  return now == state;
}

/// New threads and new interpreters go to the front of their lists.
bool ThreadStates::list_grew() {
  const auto first = memory_.get<std::uint64_t>(runtime_ + layout_.runtime_interpreters);
  if (!first || interpreters_.empty() || *first != interpreters_.front()) return true;
  for (std::size_t i = 0; i < interpreters_.size(); ++i) {
    if (memory_.get<std::uint64_t>(interpreters_[i] + layout_.interpreter_threads) != heads_[i]) {
      return true;
    }
  }
  return false;
}

std::vector<ThreadState> ThreadStates::of(std::int32_t own_tid, std::uint64_t sp) {
  std::vector<ThreadState> found = match(own_tid, sp);
  const bool still = std::all_of(found.begin(), found.end(),
                                 [&](const ThreadState& state) { return current(state); });
  // A process has many threads that are not Python's: only look again when there is news.
  if (!still || (found.empty() && list_grew())) {
    // The list is changed while it is read only if threads come and go just then.
    for (int tries = 0; tries < 3 && !refresh(); ++tries) {
    }
    found = match(own_tid, sp);
  }
  for (ThreadState& state : found) {
    if (ThreadState now; read_state(state.address, now)) state.frame = now.frame;
  }
  return found;
}

std::vector<ThreadState> ThreadStates::match(std::int32_t own_tid, std::uint64_t sp) const {
  std::vector<ThreadState> found;
  if (own_tid > 0) {
    for (const ThreadState& state : states_) {
      if (state.glibc_tid == own_tid) found.push_back(state);
    }
    if (!found.empty()) return found;
    for (const ThreadState& state : states_) {
      if (state.glibc_tid == 0 && state.native == own_tid) found.push_back(state);
    }
    if (!found.empty()) return found;
  }
  // The C library keeps a thread's descriptor at the top of its stack, so it is the next one up in
  // the mapping (without guard pages several stacks are in one).
  const auto mapping = std::find_if(mappings_.begin(), mappings_.end(),
                                    [&](const Mapping& m) { return sp >= m.start && sp < m.end; });
  if (sp == 0 || mapping == mappings_.end()) return found;
  std::uint64_t nearest = mapping->end;
  for (const ThreadState& state : states_) {
    if (state.pthread > sp) nearest = std::min(nearest, state.pthread);
  }
  for (const ThreadState& state : states_) {
    // Another thread's descriptor would have that thread's ID.
    if (state.pthread == nearest && state.pthread != mapping->end &&
        (own_tid <= 0 || state.glibc_tid == 0)) {
      found.push_back(state);
    }
  }
  return found;
}

}  // namespace forkscope::python
