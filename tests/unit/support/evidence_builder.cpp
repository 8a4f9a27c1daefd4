#include "tests/unit/support/evidence_builder.hpp"

#include <cstring>
#include <stdexcept>

namespace forkscope::test::outside {
namespace {

constexpr std::uint64_t kMainStack = 0x7ffc00000000, kStacks = 0x7e0000000000,
                        kStackSize = 0x100000;
constexpr std::uint64_t kBefore = 128, kAround = 256;

std::string module_path(const std::string& word) {
  if (word == "app") return kApp;
  if (word == "pool") return kPool;
  if (word == "libc") return kLibcFile;
  return word;
}

Mapping mapping(std::uint64_t start, std::uint64_t size, const std::string& path,
                bool shared = false) {
  Mapping map;
  map.start = start;
  map.end = start + size;
  map.readable = map.writable = true;
  map.shared = shared;
  map.path = path;
  return map;
}

ModuleRecord module_at(std::uint64_t start, std::uint64_t size, const std::string& path) {
  ModuleRecord module;
  module.start = module.bias = start;
  module.end = start + size;
  module.path = path;
  return module;
}

std::uint64_t stack_of(std::int32_t tid) { return kStacks + std::uint64_t(tid) * kStackSize; }

/// What parent and child have alike; in order of address.
void map_files(ProcessEvidence& process) {
  process.mappings = {mapping(0x555500000000, 0x100000, kApp),
                      mapping(0x555600000000, 0x100000, "[heap]"),
                      mapping(0x7f0000000000, 0x100000, kPool),
                      mapping(0x7f0000200000, 0x100000, kLibcFile),
                      mapping(kSharedWord, 0x1000, "/dev/zero (deleted)", true),
                      mapping(kMainStack, kStackSize, "[stack]")};
  process.modules = {module_at(0x555500000000, 0x100000, kApp),
                     module_at(0x7f0000000000, 0x100000, kPool),
                     module_at(0x7f0000200000, 0x100000, kLibcFile)};
  process.exe = kApp;
  process.command = {kApp, "--import"};
  process.name = "table";
  process.libc = Libc::kGlibc;
  process.state = 'S';
  process.all_threads = true;
}

/// In place of what an earlier thread of the story said lies there.
void put_memory(ProcessEvidence& process, const MemoryBytes& bytes) {
  std::erase_if(process.memory,
                [&](const MemoryBytes& other) { return other.address == bytes.address; });
  process.memory.push_back(bytes);
}

void add_stack(ProcessEvidence& process, std::int32_t tid) {
  const Mapping stack = mapping(stack_of(tid), kStackSize, "");
  auto at = process.mappings.begin();
  while (at != process.mappings.end() && at->start < stack.start) ++at;
  process.mappings.insert(at, stack);
}

Word word(std::vector<std::uint32_t> words, std::int64_t offset,
          std::vector<const char*> functions) {
  Word result;
  result.words = std::move(words);
  result.offset = offset;
  result.expected = result.words[std::size_t(offset / 4)];
  result.functions = std::move(functions);
  return result;
}

}  // namespace

Frame frame(const std::string& text) {
  const std::size_t at = text.rfind('@');
  Frame result;
  result.function = text.substr(0, at);
  result.module = module_path(text.substr(at + 1));
  result.address = 0x1000 + std::hash<std::string>{}(text) % 0xffff;
  return result;
}

Word Word::at(std::uint64_t where) const {
  Word copy = *this;
  return copy.address = where, copy;
}
Word Word::for_a_time() const {
  Word copy = *this;
  return copy.timed = true, copy;
}
Word Word::without_private_flag() const {
  Word copy = *this;
  return copy.operation &= ~0x80, copy;
}
Word Word::with_operation(int value) const {
  Word copy = *this;
  return copy.operation = value, copy;
}

Word mutex(std::int32_t owner, std::uint32_t kind) {
  return word({2, (kind & 3) == 1, std::uint32_t(owner), 1, kind}, 0,
              {"__lll_lock_wait@libc", "pthread_mutex_lock@libc"});
}

Word rwlock_written(std::int32_t owner) {
  // A writer waits for the one that has it: __writers_futex is 3.
  return word({3, 1, 0, 3, 0, 0, std::uint32_t(owner), 0, 0, 0, 0, 0, 0, 0}, 12,
              {"futex_wait@libc", "pthread_rwlock_wrlock@libc"});
}

Word pi_mutex(std::int32_t owner) {
  Word result = word({0x80000000u | std::uint32_t(owner), 1, std::uint32_t(owner), 1, 32}, 0,
                     {"__futex_lock_pi64@libc", "pthread_mutex_lock@libc"});
  result.operation = 6 | 0x80;
  result.expected = 0;
  return result;
}

Word semaphore() {
  Word result =
      word({0, 1, 0, 0}, 0,
           {"__futex_abstimed_wait_common64@libc", "__new_sem_wait_slow64@libc", "sem_wait@libc"});
  result.operation = 0x189;  // FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, private
  return result;
}

Word condition() {
  // One waiter: __wseq, __g1_start, __g_refs, __g_size, __g1_orig_size, __wrefs, __g_signals.
  Word result = word({2, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 0}, 40,
                     {"__futex_abstimed_wait_common64@libc", "pthread_cond_wait@libc"});
  result.operation = 0x189;
  return result;
}

Word join(std::int32_t tid) {
  // In struct pthread: a list node, the TID, the head of the robust list, which is empty.
  constexpr std::int64_t kTid = 16;
  const std::uint64_t self = kOtherLock + kTid + 16;
  const auto low = std::uint32_t(self), high = std::uint32_t(self >> 32);
  Word result = word({low, high, low, high, std::uint32_t(tid), 0, low, high, low, high,
                      std::uint32_t(-32), UINT32_MAX},
                     kTid, {"__futex_abstimed_wait_common64@libc", "pthread_join@libc"});
  result.address = kOtherLock;
  result.operation = 0x109;  // FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, not private
  return result;
}

Word unknown_word() { return word({77}, 0, {"syscall@libc"}); }

Word libc_lock() {
  return word({2}, 0, {"__lll_lock_wait_private@libc", "__tz_convert@libc", "localtime_r@libc"})
      .at(kLibcLockWord);
}

Word rust_condvar() {
  Word result =
      word({3}, 0, {"syscall@libc", "std::sys::sync::condvar::futex::Condvar::wait@pool"});
  result.operation = 0x89;
  return result;
}

Thread::Thread(std::int32_t tid, const std::string& name) {
  thread_.tid = thread_.own_tid = tid;
  thread_.name = name;
  thread_.state = 'S';
  thread_.start = tid < kChild ? kForkTime / 2 : kForkTime;
  thread_.switches = 3;
  thread_.settled = true;
  thread_.stack_source = StackSource::kBlocked;
  thread_.stack_complete = true;
  in_call("wait4");
}

Thread& Thread::waits(const Word& word) {
  x86_64_ = 202;
  generic_ = 98;
  SystemCall call;
  call.arguments[0] = word.address + std::uint64_t(word.offset);
  call.arguments[1] = std::uint64_t(word.operation);
  call.arguments[2] = word.expected;
  call.arguments[3] = word.timed ? kMainStack : 0;
  thread_.call = call;
  thread_.running = false;
  thread_.stack.clear();
  for (const char* function : word.functions) thread_.stack.push_back(frame(function));
  MemoryBytes bytes;
  bytes.address = word.address - kBefore;
  bytes.bytes.resize(kAround + std::size_t(word.offset));
  std::memcpy(bytes.bytes.data() + kBefore, word.words.data(), word.words.size() * 4);
  memory_.push_back(std::move(bytes));
  return *this;
}

Thread& Thread::in_call(const std::string& name) {
  struct {
    const char* name;
    int x86_64, generic;
  } const known[] = {{"wait4", 61, 260}, {"epoll_pwait", 281, 22},
                     {"read", 0, 63},    {"clock_nanosleep", 230, 115},
                     {"exit", 60, 93},   {"page fault", -1, -1}};
  for (const auto& entry : known) {
    if (name != entry.name) continue;
    x86_64_ = entry.x86_64;
    generic_ = entry.generic;
    thread_.call.emplace();
    if (name == "epoll_pwait") thread_.call->arguments[3] = UINT64_MAX;
    thread_.stack = {frame(name + "@libc")};
    return *this;
  }
  throw std::invalid_argument(name);
}

Thread& Thread::idles() { return waits(condition().at(kOtherLock)).from({"take_job@pool"}); }

Thread& Thread::runs() {
  thread_.state = 'R';
  thread_.running = true;
  thread_.settled = false;
  thread_.call.reset();
  thread_.stack.clear();
  return *this;
}

Thread& Thread::state(char state) {
  thread_.state = state;
  return *this;
}

Thread& Thread::unsettled() {
  thread_.settled = false;
  return *this;
}

Thread& Thread::short_stack() {
  thread_.stack_complete = false;
  return *this;
}

Thread& Thread::unreadable() {
  thread_.call.reset();
  thread_.stack.clear();
  thread_.settled = false;
  return *this;
}

Thread& Thread::own_tid(std::int32_t tid) {
  thread_.own_tid = tid;
  return *this;
}

Thread& Thread::started(std::uint64_t ticks) {
  thread_.start = ticks;
  return *this;
}

Thread& Thread::starts_in(const std::string& text) {
  thread_.start_routine = frame(text);
  return *this;
}

Thread& Thread::from(std::initializer_list<const char*> frames) {
  outer_.clear();
  for (const char* text : frames) outer_.push_back(frame(text));
  return *this;
}

ThreadEvidence Thread::evidence(Abi abi) const {
  ThreadEvidence result = thread_;
  if (result.call) {
    result.call->number = abi == Abi::kGeneric64 ? generic_ : x86_64_;
    result.call->pc = 0x7f0000250000;
  }
  if (!result.stack.empty()) result.stack.insert(result.stack.end(), outer_.begin(), outer_.end());
  return result;
}

Story::Story(Abi abi) : abi_(abi) {
  evidence.now = kForkTime + 6000;
  ProcessEvidence& process = evidence.process;
  process.pid = process.own_pid = kChild;
  process.parent = kParent;
  process.start = kForkTime;
  process.forked = true;
  process.abi = abi;
  map_files(process);
  ProcessEvidence old;
  old.pid = old.own_pid = kParent;
  old.parent = 1;
  old.start = kForkTime / 2;
  old.forked = false;
  old.abi = abi;
  map_files(old);
  evidence.ancestors.push_back(std::move(old));
  parent_main(Thread(kParent));
  child(Thread(kChild));
}

Story& Story::child(const Thread& thread) {
  ProcessEvidence& process = evidence.process;
  ThreadEvidence first = thread.evidence(abi_);
  if (first.call) first.call->sp = kMainStack + 0x8000;
  if (process.threads.empty()) process.threads.emplace_back();
  process.threads.front() = std::move(first);
  process.state = process.threads.front().state;
  for (const MemoryBytes& bytes : thread.memory()) put_memory(process, bytes);
  return *this;
}

Story& Story::beside(const Thread& thread) {
  ThreadEvidence other = thread.evidence(abi_);
  if (other.call) other.call->sp = stack_of(other.tid) + 0x8000;
  add_stack(evidence.process, other.tid);
  evidence.process.threads.push_back(std::move(other));
  for (const MemoryBytes& bytes : thread.memory()) put_memory(evidence.process, bytes);
  return *this;
}

Story& Story::parent(const Thread& thread) {
  ProcessEvidence& old = evidence.ancestors.at(0);
  ThreadEvidence other = thread.evidence(abi_);
  if (other.call) other.call->sp = stack_of(other.tid) + 0x8000;
  add_stack(old, other.tid);
  old.threads.push_back(std::move(other));
  return *this;
}

Story& Story::parent_main(const Thread& thread) {
  ProcessEvidence& old = evidence.ancestors.at(0);
  ThreadEvidence first = thread.evidence(abi_);
  if (first.call) first.call->sp = kMainStack + 0x9000;
  if (old.threads.empty()) old.threads.emplace_back();
  old.threads.front() = std::move(first);
  return *this;
}

Story& Story::parent_gone() {
  evidence.ancestors.clear();
  evidence.parent_gone = true;
  evidence.process.parent = 1;
  return *this;
}

Story& Story::not_forked() {
  evidence.ancestors.clear();
  evidence.process.forked = false;
  return *this;
}

Story& Story::remembers(const std::string& start_routine) {
  evidence.memory_knows_threads = true;
  evidence.remembered_threads.push_back({0, frame(start_routine)});
  return *this;
}

Diagnosis Story::judge() const {
  return diagnose(evidence, [](std::uint64_t address, const std::string& type) {
    LockInfo info;
    info.address = address;
    info.type = type;
    if (address == kLock) info.symbol = "file_lock";
    if (address == kLock) info.module = kApp;
    return info;
  });
}

bool says(const Diagnosis& diagnosis, const std::string& words) {
  std::string text = diagnosis.sentence;
  for (const std::string& reason : diagnosis.reasons) text += "\n" + reason;
  return text.find(words) != std::string::npos;
}

}  // namespace forkscope::test::outside
