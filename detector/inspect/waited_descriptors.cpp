#include "detector/inspect/waited_descriptors.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include "detector/inspect/small_file.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostDescriptors = 1024, kMostThreads = 64;
constexpr long kPairDistance = 4;  ///< of the inodes of a socketpair(2): they are made together

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

/// "pipe:[4711]" by descriptor.
std::map<int, std::string> links_of(std::int32_t pid) {
  std::map<int, std::string> links;
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir(folder.c_str()));
  while (directory && links.size() < kMostDescriptors) {
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    char target[128];
    const ssize_t size = readlinkat(dirfd(directory.get()), entry->d_name, target, sizeof target);
    if (size > 0) links[std::atoi(entry->d_name)] = std::string(target, std::size_t(size));
  }
  return links;
}

long number_in(const std::string& link) {
  const std::size_t at = link.find('[');
  return at == std::string::npos ? 0 : std::strtol(link.c_str() + at + 1, nullptr, 10);
}

class Writers {
 public:
  /// `parent`: the process it is a copy of; 0: gone, or not to be seen.
  Writers(std::int32_t pid, std::int32_t parent)
      : pid_(pid),
        parent_(parent),
        links_(links_of(pid)),
        parents_(parent != 0 ? links_of(parent) : std::map<int, std::string>()) {}

  /// Adds who can write to the descriptor.
  void add(int descriptor, WaitedDescriptors& waited, bool nested = false) {
    const auto at = links_.find(descriptor);
    if (at == links_.end()) return void(waited.outside = true);
    const std::string& link = at->second;
    if (link == "anon_inode:[eventfd]") {
      waited.inside = true;
      waited.inherited = waited.inherited || is_same_with_parent(descriptor);
    } else if (link == "anon_inode:[eventpoll]" && !nested) {
      add_all_of_epoll(descriptor, waited);
    } else if (has_both_ends(link)) {
      waited.inside = true;
      waited.outside = waited.outside || is_with_parent(link);
      waited.inherited = waited.inherited || is_with_parent(link);
    } else {
      waited.outside = true;
    }
  }

 private:
  static std::string info(std::int32_t pid, int descriptor) {
    return read_small_file(fmt::format("/proc/{}/fdinfo/{}", pid, descriptor));
  }

  /// Of an eventfd, which has its number in "eventfd-id: 5" only (fs/eventfd.c).
  static std::string event_of(std::int32_t pid, int descriptor) {
    const std::string text = info(pid, descriptor);
    const std::size_t at = text.find("eventfd-id:");
    return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
  }

  bool is_same_with_parent(int descriptor) const {
    if (parent_ == 0) return true;
    const auto at = parents_.find(descriptor);
    return at != parents_.end() && at->second == "anon_inode:[eventfd]" &&
           event_of(pid_, descriptor) == event_of(parent_, descriptor);
  }

  bool is_with_parent(const std::string& link) const {
    return std::any_of(parents_.begin(), parents_.end(),
                       [&](const auto& one) { return one.second == link; });
  }

  bool may_write(int descriptor) const {
    std::istringstream text(info(pid_, descriptor));
    for (std::string word; text >> word;) {
      if (word != "flags:" || !(text >> word)) continue;
      return (std::strtol(word.c_str(), nullptr, 8) & O_ACCMODE) != O_RDONLY;
    }
    return false;
  }

  bool has_both_ends(const std::string& link) {
    if (link.starts_with("pipe:"))
      return std::any_of(links_.begin(), links_.end(), [&](const auto& one) {
        return one.second == link && may_write(one.first);
      });
    if (!link.starts_with("socket:") || !is_unnamed(number_in(link))) return false;
    return std::any_of(links_.begin(), links_.end(), [&](const auto& one) {
      const long inode = one.second.starts_with("socket:") ? number_in(one.second) : 0;
      return one.second != link && std::labs(inode - number_in(link)) <= kPairDistance &&
             is_unnamed(inode);
    });
  }

  /// A connected socket of AF_UNIX without a path, as of socketpair(2).
  bool is_unnamed(long inode) {
    if (!read_sockets_) {
      read_sockets_ = true;
      std::ifstream file(fmt::format("/proc/{}/net/unix", pid_));
      for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string address, references, protocol, flags, type, state, number, path;
        if (!(words >> address >> references >> protocol >> flags >> type >> state >> number)) continue;
        if (state == "03" && !(words >> path)) unnamed_.insert(std::atol(number.c_str()));
      }
    }
    return unnamed_.contains(inode);
  }

  /// "tfd:        5 events:       19 ..."
  void add_all_of_epoll(int descriptor, WaitedDescriptors& waited) {
    std::istringstream text(info(pid_, descriptor));
    for (std::string word; text >> word;)
      if (int target = 0; word == "tfd:" && text >> target) add(target, waited, true);
  }

  std::int32_t pid_, parent_;
  std::map<int, std::string> links_, parents_;
  bool read_sockets_ = false;
  std::set<long> unnamed_;
};

std::vector<int> polled(ProcessMemory& memory, const SystemCall& call) {
  std::vector<pollfd> entries(std::min<std::size_t>(call.arguments[1], kMostDescriptors));
  std::vector<int> descriptors;
  if (!memory.read(call.arguments[0], std::as_writable_bytes(std::span(entries)))) return descriptors;
  for (const pollfd& entry : entries)
    if (entry.fd >= 0) descriptors.push_back(entry.fd);
  return descriptors;
}

std::vector<int> selected(ProcessMemory& memory, const SystemCall& call) {
  std::vector<int> descriptors;
  const int count = int(std::min<std::uint64_t>(call.arguments[0], FD_SETSIZE));
  for (const int argument : {1, 2}) {
    if (call.arguments[argument] == 0) continue;
    // As many words as the kernel reads: fs/select.c, core_sys_select.
    std::vector<std::uint64_t> words((std::size_t(count) + 63) / 64);
    if (!memory.read(call.arguments[argument], std::as_writable_bytes(std::span(words)))) continue;
    for (int i = 0; i < count; ++i)
      if ((words[std::size_t(i) / 64] >> (i % 64) & 1) != 0) descriptors.push_back(i);
  }
  return descriptors;
}

enum class Asks { kNothing, kPoll, kSelect, kFirst };

Asks asks(const SystemCall& call) {
  switch (call.number) {
#ifdef SYS_poll
    case SYS_poll:
#endif
    case SYS_ppoll:
      return Asks::kPoll;
#ifdef SYS_select
    case SYS_select:
#endif
    case SYS_pselect6:
      return Asks::kSelect;
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
      return Asks::kFirst;
    default:
      return Asks::kNothing;
  }
}

std::vector<int> descriptors_of(ProcessMemory& memory, const SystemCall& call) {
  switch (asks(call)) {
    case Asks::kPoll:
      return polled(memory, call);
    case Asks::kSelect:
      return selected(memory, call);
    case Asks::kFirst:
      return {static_cast<int>(call.arguments[0])};
    case Asks::kNothing:
      break;
  }
  return {};
}

}  // namespace

bool waits_for_descriptors(const SystemCall& call) { return asks(call) != Asks::kNothing; }

std::vector<WaitedDescriptors> waited_descriptors(ProcessMemory& memory, const Evidence& evidence) {
  std::vector<WaitedDescriptors> all;
  const ProcessEvidence& process = evidence.process;
  if (process.from_core || process.abi != kNativeAbi || process.threads.size() > kMostThreads)
    return all;
  std::unique_ptr<Writers> writers;
  for (const ThreadEvidence& thread : process.threads) {
    if (!thread.call) continue;
    const std::vector<int> descriptors = descriptors_of(memory, *thread.call);
    if (descriptors.empty()) continue;
    if (!writers) writers = std::make_unique<Writers>(
          process.pid, evidence.ancestors.empty() ? 0 : evidence.ancestors.front().pid);
    WaitedDescriptors waited;
    waited.tid = thread.tid;
    for (const int descriptor : descriptors) writers->add(descriptor, waited);
    all.push_back(waited);
  }
  return all;
}

}  // namespace forkscope
