// Why the kernel does not let us look at a process, from what can be read about both sides, and
// what would help.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// What decides whether ptrace(2), process_vm_readv(2) and the files of /proc are allowed.
struct AccessFacts {
  std::uint32_t euid = 0;                  ///< ours
  bool other_user = false;                 ///< the process belongs to another user
  std::uint64_t capabilities = 0;          ///< our CapEff
  bool filtered = false;                   ///< a seccomp filter is on us
  int yama = -1;                           ///< kernel.yama.ptrace_scope; -1: there is no Yama
  std::string label{};                     ///< of our LSM profile: "docker-default (enforce)"; or empty
  bool own_user_namespace = false;         ///< we are root in a user namespace only
  bool container = false;                  ///< signs of one: /.dockerenv and the like
};

/// Reads /proc and /sys. Thread-safe.
AccessFacts access_facts(pid_t pid);

/// Why `what` of the process could not be done, from the errno, and what helps. Pure.
Missing refusal(pid_t pid, const std::string& what, int error, const AccessFacts& facts);

/// Both.
Missing why_unreadable(pid_t pid, const std::string& what, int error);

}  // namespace forkscope
