#include "detector/inspect/refusal.hpp"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "detector/inspect/small_file.hpp"

namespace forkscope {
namespace {

constexpr std::uint64_t kMayTrace = std::uint64_t{1} << CAP_SYS_PTRACE;

/// The value of a line "Name:\tvalue" of /proc/PID/status.
std::string field(const std::string& status, const std::string& name) {
  const std::size_t begin = status.find("\n" + name + ":\t");
  if (begin == std::string::npos) return "";
  const std::size_t value = begin + name.size() + 3;
  return status.substr(value, std::min(status.find('\n', value), status.size()) - value);
}

std::uint64_t number(const std::string& text, int base) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

/// The first user namespace maps every id to itself: "0 0 4294967295".
bool is_first_user_namespace() {
  const std::string map = read_small_file("/proc/self/uid_map");
  return map.empty() || map.find("4294967295") != std::string::npos;
}

bool exists(const char* path) { return access(path, F_OK) == 0; }

std::string sudo(pid_t pid) { return fmt::format("sudo forkscope attach {}", pid); }

/// Of one who has the capability and is refused all the same.
std::string why_not_with_capability(const AccessFacts& facts) {
  if (facts.yama == 3) return "kernel.yama.ptrace_scope is 3: nobody may, until the next boot";
  if (facts.own_user_namespace)
    return "forkscope has CAP_SYS_PTRACE in its own user namespace only, as in a container without "
           "root, and the process is of another one; run it on the host as root";
  if (!facts.label.empty())
    return fmt::format("forkscope has CAP_SYS_PTRACE; the security profile \"{}\" is what may "
                       "forbid it: run it outside the container, or with "
                       "`docker run --security-opt apparmor=unconfined`",
                       facts.label);
  if (facts.filtered)
    return "forkscope has CAP_SYS_PTRACE; its seccomp filter is what may forbid it: run it outside "
           "the container, or with `docker run --security-opt seccomp=unconfined`";
  return "the kernel refuses it although forkscope has CAP_SYS_PTRACE: a security module, or the "
         "process is of another user namespace";
}

std::string why_not_root(const AccessFacts& facts) {
  if (facts.container)
    return fmt::format("forkscope is root without the capability CAP_SYS_PTRACE (CapEff {:016x}), "
                       "which a container gets by `docker run --cap-add=SYS_PTRACE`",
                       facts.capabilities);
  return fmt::format("forkscope is root without the capability CAP_SYS_PTRACE (CapEff {:016x}): "
                     "whoever started it took that away (capsh, setpriv, CapabilityBoundingSet= of "
                     "systemd)",
                     facts.capabilities);
}

Missing of_user(Missing missing, pid_t pid, const AccessFacts& facts) {
  missing.cure = sudo(pid);
  if (facts.other_user) {
    missing.why = "the process belongs to another user, or does not let itself be looked at";
  } else if (facts.yama == 3) {
    missing.why = "kernel.yama.ptrace_scope is 3: nobody may, until the next boot";
    missing.cure.clear();
  } else if (facts.yama > 0) {
    missing.why = fmt::format("kernel.yama.ptrace_scope is {}", facts.yama);
  } else {
    missing.why = "the process does not let itself be looked at (it changed its user, or has "
                  "capabilities of its own)";
  }
  return missing;
}

}  // namespace

AccessFacts access_facts(pid_t pid) {
  AccessFacts facts;
  facts.euid = geteuid();
  struct stat info {};
  facts.other_user =
      stat(fmt::format("/proc/{}", pid).c_str(), &info) == 0 && info.st_uid != facts.euid;
  const std::string status = read_small_file("/proc/self/status");
  constexpr int kHexadecimal = 16;
  facts.capabilities = number(field(status, "CapEff"), kHexadecimal);
  facts.filtered = field(status, "Seccomp") == "2";
  const std::string scope = read_small_file("/proc/sys/kernel/yama/ptrace_scope");
  if (!scope.empty()) facts.yama = static_cast<int>(number(scope, 10));
  facts.label = read_small_file("/proc/self/attr/current");
  facts.label.erase(std::find_if(facts.label.begin(), facts.label.end(),
                                 [](char c) { return c == '\0' || c == '\n'; }),
                    facts.label.end());
  if (facts.label == "unconfined" || facts.label == "kernel") facts.label.clear();
  facts.own_user_namespace = !is_first_user_namespace();
  facts.container = exists("/.dockerenv") || exists("/run/.containerenv") ||
                    std::getenv("container") != nullptr ||
                    exists("/var/run/secrets/kubernetes.io");
  return facts;
}

Missing refusal(pid_t pid, const std::string& what, int error, const AccessFacts& facts) {
  Missing missing{what, error == 0 ? "nothing came" : std::strerror(error), ""};
  if (error == ESRCH || error == ENOENT) missing.why = "it has ended, or is about to";
  if (error != EACCES && error != EPERM) return missing;
  if ((facts.capabilities & kMayTrace) != 0) {
    missing.why = why_not_with_capability(facts);
  } else if (facts.euid == 0) {
    missing.why = why_not_root(facts);
  } else {
    return of_user(std::move(missing), pid, facts);
  }
  return missing;
}

Missing why_unreadable(pid_t pid, const std::string& what, int error) {
  return refusal(pid, what, error, access_facts(pid));
}

}  // namespace forkscope
