#include "detector/inspect/live_process.hpp"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "detector/inspect/memory_sharers.hpp"
#include "detector/inspect/modules.hpp"
#include "detector/inspect/small_file.hpp"
#include "detector/verdict/outside/waits.hpp"

namespace forkscope {
namespace {

/// Threads come and go while they are listed.
constexpr int kMaxLooks = 4;

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

bool same_call(const SystemCall& a, const SystemCall& b) {
  return a.number == b.number && std::equal(std::begin(a.arguments), std::end(a.arguments),
                                            std::begin(b.arguments)) &&
         a.sp == b.sp && a.pc == b.pc;
}

bool same_threads(const std::vector<ThreadEvidence>& a, const std::vector<ThreadEvidence>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const ThreadEvidence& x, const ThreadEvidence& y) {
                      return x.tid == y.tid && x.start == y.start;
                    });
}

}  // namespace

bool slept_since(const std::vector<ThreadEvidence>& before, const ThreadEvidence& thread) {
  auto was = std::find_if(before.begin(), before.end(), [&](const ThreadEvidence& earlier) {
    return earlier.tid == thread.tid && earlier.start == thread.start;
  });
  return was != before.end() && !thread.running && thread.call && was->call &&
         was->switches == thread.switches && same_call(*thread.call, *was->call);
}

std::unique_ptr<LiveProcess> LiveProcess::open(pid_t pid) {
  UniqueFd directory(
      ::open(fmt::format("/proc/{}", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return nullptr;
  std::unique_ptr<LiveProcess> process(new LiveProcess(pid, std::move(directory)));
  // A thread that is no leader has a directory as well, which is not listed.
  auto status = process->read_file("status");
  if (!status || status->find(fmt::format("\nTgid:\t{}\n", pid)) == std::string::npos)
    return nullptr;
  return process;
}

std::optional<std::string> LiveProcess::read_file(const std::string& name) const {
  UniqueFd fd(openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    error_ = errno;
    return std::nullopt;
  }
  std::string text;
  // Most fit at once; maps of large processes do not.
  for (std::size_t room = 4096;; room = std::min<std::size_t>(room * 4, 1 << 20)) {
    const std::size_t used = text.size();
    text.resize(used + room);
    const ssize_t size = read(fd.get(), text.data() + used, room);
    if (size < 0) {
      error_ = errno;
      return std::nullopt;
    }
    text.resize(used + static_cast<std::size_t>(size));
    if (size == 0) return text;
  }
}

std::string LiveProcess::link(const char* name) const {
  char target[4096];
  const ssize_t size = readlinkat(directory_.get(), name, target, sizeof target);
  return size > 0 ? std::string(target, static_cast<std::size_t>(size)) : std::string();
}

std::optional<ProcStat> LiveProcess::stat() const {
  auto text = read_file("stat");
  return text ? parse_stat(*text) : std::nullopt;
}

std::vector<std::string> LiveProcess::command() const {
  auto text = read_file("cmdline");
  return text ? split_at_nul(*text) : std::vector<std::string>();
}

std::vector<pid_t> LiveProcess::thread_ids() const {
  std::vector<pid_t> ids;
  const int fd = openat(directory_.get(), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ids;
  std::unique_ptr<DIR, DirectoryCloser> task(fdopendir(fd));
  while (const dirent* entry = readdir(task.get())) {
    pid_t id = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    auto [stop, error] = std::from_chars(entry->d_name, end, id);
    if (error == std::errc{} && stop == end) ids.push_back(id);
  }
  // The kernel lists the leader first, then in order of creation.
  return ids;
}

std::optional<ThreadEvidence> LiveProcess::look_at_thread(pid_t tid) const {
  const std::string folder = fmt::format("task/{}/", tid);
  ThreadEvidence thread;
  thread.tid = tid;
  // The call first, then the counter, which grows when the thread stops running: if the counter is
  // the same in a later look, the thread slept from this counter to that call.
  error_ = 0;
  auto text = read_file(folder + "syscall");
  if (auto call = text ? parse_syscall(*text) : std::nullopt) {
    thread.running = call->running;
    if (!call->running) thread.call = call->call;
  }
  const int call_error = error_;
  text = read_file(folder + "status");
  auto status = text ? parse_status(*text) : std::nullopt;
  if (!status || !status->has_switches) return std::nullopt;
  thread.own_tid = status->ids.empty() ? tid : status->ids.back();
  thread.switches = status->switches;
  text = read_file(folder + "stat");
  auto stat = text ? parse_stat(*text) : std::nullopt;
  if (!stat) return std::nullopt;
  thread.name = stat->name;
  thread.state = stat->state;
  thread.start = stat->start;
  thread.cpu_ticks = stat->cpu_ticks;
  if (stat->state == 'R') thread.running = true;
  error_ = call_error;
  return thread;
}

bool LiveProcess::choose_living_thread() {
  for (pid_t tid : thread_ids()) {
    auto text = read_file(fmt::format("task/{}/stat", tid));
    auto stat = text ? parse_stat(*text) : std::nullopt;
    if (!stat || stat->state == 'Z' || stat->state == 'X') continue;
    living_ = tid;
    body_ = fmt::format("task/{}/", tid);
    memory_ = LiveMemory(tid);
    return true;
  }
  return false;
}

std::vector<ThreadEvidence> LiveProcess::threads() const {
  std::vector<ThreadEvidence> seen;
  for (pid_t tid : thread_ids())
    if (auto thread = look_at_thread(tid)) seen.push_back(*std::move(thread));
  return seen;
}

void LiveProcess::look_at_threads(ProcessEvidence& process) const {
  std::vector<ThreadEvidence> before = threads();
  for (int looks = 1; looks < kMaxLooks; ++looks) {
    process.threads = threads();
    process.all_threads = same_threads(before, process.threads);
    if (process.all_threads) break;
    before = process.threads;
  }
  for (ThreadEvidence& thread : process.threads) thread.settled = slept_since(before, thread);
}

void LiveProcess::look_at_mappings(ProcessEvidence& process) {
  auto text = read_file(body_ + "maps");
  if (!text) {
    process.missing.push_back(
        why_unreadable(pid_, "its memory and what is mapped there cannot be read", error_));
    return;
  }
  process.mappings = parse_maps(*text);
  ModuleFinder finder(memory_);
  // In another mount namespace the same path may be another file.
  struct stat ours {}, theirs {};
  const bool same_files = ::stat("/proc/self/ns/mnt", &ours) == 0 &&
                          fstatat(directory_.get(), (body_ + "ns/mnt").c_str(), &theirs, 0) == 0 &&
                          ours.st_ino == theirs.st_ino;
  finder.set_folders(fmt::format("/proc/{}", living_), same_files);
  process.modules = finder.modules(process.mappings);
}

/// Since the look began the process may have installed handlers, or executed a program, before its
/// threads came to sleep where they were found.
void LiveProcess::see_what_changed(ProcessEvidence& process) {
  const auto now = stat();
  if (!now || (now->flags & kForkedNoExec) == 0) process.forked = false;
  const auto text = read_file(body_ + "status");
  const auto status = text ? parse_status(*text) : std::nullopt;
  if (!status) {
    process.caught_signals.reset();
  } else if (process.caught_signals) {
    *process.caught_signals |= status->caught;
  }
}

ProcessEvidence LiveProcess::look() {
  ProcessEvidence process;
  process.pid = process.own_pid = pid_;
  auto stat_now = stat();
  if (!stat_now) {
    process.state = 'X';
    return process;
  }
  process.parent = stat_now->parent;
  process.start = stat_now->start;
  process.state = stat_now->state;
  process.kernel_thread = (stat_now->flags & kKernelThread) != 0;
  if (!process.kernel_thread) process.forked = (stat_now->flags & kForkedNoExec) != 0;
  process.name = stat_now->name;
  process.exe = link("exe");
  process.command = command();
  if (auto text = read_file("status")) {
    if (auto status = parse_status(*text)) {
      process.caught_signals = status->caught;
      process.traced = status->tracer != 0;
      if (!status->ids.empty()) process.own_pid = status->ids.back();
    }
  }
  process.ended = process.state == 'X' || (process.state == 'Z' && !choose_living_thread());
  if (process.kernel_thread || process.ended) return process;
  if (process.state == 'Z') {  // its first thread called pthread_exit(): the others have the rest
    process.exe = link((body_ + "exe").c_str());
    if (auto text = read_file(body_ + "cmdline")) process.command = split_at_nul(*text);
    if (auto text = read_file(body_ + "status"))
      if (auto status = parse_status(*text)) process.caught_signals = status->caught;
  }
  look_at_mappings(process);
  process.abi = abi_of(memory_, process.mappings);
  process.libc = libc_of(process.modules);
  error_ = 0;
  look_at_threads(process);
  see_what_changed(process);
  const bool blind = std::all_of(
      process.threads.begin(), process.threads.end(),
      [](const ThreadEvidence& thread) { return !thread.running && !thread.call; });
  if (blind && !process.threads.empty()) {
    process.missing.push_back(
        error_ == ENOENT
            ? Missing{"what its threads wait for cannot be read",
                      "this kernel was built without CONFIG_HAVE_ARCH_TRACEHOOK", ""}
            : why_unreadable(pid_, "what its threads wait for cannot be read", error_));
  }
  return process;
}

std::optional<LiveProcess::ImageMark> LiveProcess::image_mark() {
  auto text = read_file(body_ + "auxv");
  if (!text) return std::nullopt;
  for (std::size_t at = 0; at + sizeof(Elf64_auxv_t) <= text->size(); at += sizeof(Elf64_auxv_t)) {
    Elf64_auxv_t entry;
    std::memcpy(&entry, text->data() + at, sizeof entry);
    if (entry.a_type != AT_RANDOM) continue;
    ImageMark mark;
    mark.address = entry.a_un.a_val;
    if (memory_.read(mark.address, mark.bytes)) return mark;
    error_ = errno;
  }
  return std::nullopt;
}

Suspicion LiveProcess::waits_for_ever() const {
  bool readable = false;
  for (pid_t tid : thread_ids()) {
    auto text = read_file(fmt::format("task/{}/syscall", tid));
    auto call = text ? parse_syscall(*text) : std::nullopt;
    if (!call) continue;
    readable = true;
    if (call->running) continue;
    const Wait wait = wait_of(call->call, kNativeAbi);
    if (wait.futex && wait.for_ever) return Suspicion::kWaits;
  }
  return readable ? Suspicion::kNone : Suspicion::kUnreadable;
}

bool LiveProcess::is_kernel_thread() const {
  auto now = stat();
  return now && (now->flags & kKernelThread) != 0;
}

bool LiveProcess::has_io_uring() const {
  const int fd = openat(directory_.get(), (body_ + "fd").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  std::unique_ptr<DIR, DirectoryCloser> descriptors(fdopendir(fd));
  while (const dirent* entry = readdir(descriptors.get())) {
    char target[64];
    const ssize_t size = readlinkat(fd, entry->d_name, target, sizeof target);
    if (size > 0 && std::string_view(target, std::size_t(size)) == "anon_inode:[io_uring]")
      return true;
  }
  return false;
}

std::optional<bool> LiveProcess::shares_memory() const {
  static MemorySharers sharers;  // `scan` asks for many processes
  return sharers.shared(pid_);
}

}  // namespace forkscope
