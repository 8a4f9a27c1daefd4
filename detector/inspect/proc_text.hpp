// The texts of /proc, parsed (proc(5)). Pure functions; thread-safe. What a kernel leaves out, or
// what does not parse, gives nothing, never a guess.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// /proc/PID/cmdline: the words of a command line.
std::vector<std::string> split_at_nul(const std::string& text);

/// /proc/PID/stat, /proc/PID/task/TID/stat.
struct ProcStat {
  std::int32_t id = 0;
  std::string name;  ///< at most 15 bytes, any but NUL
  char state = '?';
  std::int32_t parent = 0;
  std::uint32_t flags = 0;      ///< PF_* of the kernel
  std::uint64_t cpu_ticks = 0;  ///< user and system time
  std::uint64_t threads = 0;
  std::uint64_t start = 0;  ///< clock ticks since boot
};
std::optional<ProcStat> parse_stat(std::string_view text);

/// PF_FORKNOEXEC and PF_KTHREAD of include/linux/sched.h, as they have been since Linux 2.6.
constexpr std::uint32_t kForkedNoExec = 0x40, kKernelThread = 0x200000;

/// /proc/PID/status, /proc/PID/task/TID/status.
struct ProcStatus {
  std::vector<std::int32_t> ids;  ///< NSpid: in our PID namespace first, in its own last
  std::int32_t tracer = 0;
  std::uint32_t uid = 0;         ///< real
  std::uint64_t caught = 0;      ///< SigCgt
  std::uint64_t switches = 0;    ///< voluntary and other context switches
  bool has_switches = false;
};
std::optional<ProcStatus> parse_status(std::string_view text);

/// /proc/PID/task/TID/syscall.
struct SyscallText {
  bool running = false;
  SystemCall call;  ///< when not running
};
std::optional<SyscallText> parse_syscall(std::string_view text);

/// /proc/PID/maps. Lines that do not parse are left out.
std::vector<Mapping> parse_maps(std::string_view text);

}  // namespace forkscope
