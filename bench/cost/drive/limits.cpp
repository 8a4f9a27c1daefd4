#include "bench/cost/drive/limits.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "bench/cost/report/words.hpp"
#include "bench/ratios/machine.hpp"

namespace forkscope::cost {
namespace {

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  std::uint64_t value = 0;
  if (std::ifstream(path) >> value) return value;
  return {};
}

/// kB of a line "key:   123 kB".
std::uint64_t meminfo(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::stoull(line.substr(key.size() + 1)) * 1024;
  return 0;
}

void lower(Limit& limit, std::uint64_t value, const std::string& name) {
  if (value < limit.value) limit = {value, name};
}

std::uint64_t resource(int which, bool hard = false) {
  rlimit limit{};
  if (getrlimit(__rlimit_resource_t(which), &limit) != 0) return UINT64_MAX;
  const rlim_t value = hard ? limit.rlim_max : limit.rlim_cur;
  return value == RLIM_INFINITY ? UINT64_MAX : value;
}

/// Folders of this process's control group and those above it, of a controller of version 1, or of
/// version 2 with an empty name.
std::vector<std::string> control_groups(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    if ("," + line.substr(first + 1, second - first - 1) + "," != "," + controller + ",") continue;
    const std::string root = "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
    std::string path = line.substr(second + 1);
    std::vector<std::string> folders;
    while (path.size() > 1) {
      folders.push_back(root + path);
      path.erase(path.rfind('/'));
    }
    folders.push_back(root);
    return folders;
  }
  return {};
}

void add_control_groups(Limits& limits) {
  struct Names {
    const char *controller, *limit, *usage;
    Limit Limits::*which;
  };
  // A limit of version 1 that nobody set is a number near 2^63.
  for (const Names& names :
       {Names{"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", &Limits::memory},
        Names{"", "memory.max", "memory.current", &Limits::memory},
        Names{"pids", "pids.max", "pids.current", &Limits::processes},
        Names{"", "pids.max", "pids.current", &Limits::processes}})
    for (const std::string& folder : control_groups(names.controller)) {
      const auto most = number_in(folder + "/" + names.limit);
      if (!most || *most > UINT64_MAX / 4) continue;
      const auto used = number_in(folder + "/" + names.usage).value_or(0);
      lower(limits.*names.which, *most > used ? *most - used : 0, "the limit of the control group");
    }
}

/// Processes of this user count against RLIMIT_NPROC, except for root.
std::uint64_t tasks_now() {
  const std::string load = first_line("/proc/loadavg");  // "0.1 0.2 0.3 2/345 678"
  const auto slash = load.find('/');
  return slash == std::string::npos ? 0 : std::stoull(load.substr(slash + 1));
}

std::string limit_text(std::uint64_t value) {
  return value == UINT64_MAX ? "unlimited" : std::to_string(value);
}

std::string cpu_quota() {
  for (const std::string& folder : control_groups(""))
    if (const std::string text = first_line(folder + "/cpu.max");
        !text.empty() && !text.starts_with("max"))
      return text + " µs";
  for (const char* controller : {"cpu", "cpu,cpuacct"})
    for (const std::string& folder : control_groups(controller))
      if (const std::string quota = first_line(folder + "/cpu.cfs_quota_us");
          !quota.empty() && quota != "-1")
        return quota + " µs of " + first_line(folder + "/cpu.cfs_period_us") + " µs";
  return "none";
}

std::string mitigations() {
  std::string active;
  for (const char* name : {"meltdown", "spectre_v1", "spectre_v2", "mds", "l1tf", "retbleed",
                           "spec_rstack_overflow", "tsx_async_abort", "srbds"}) {
    const std::string text =
        first_line(std::string("/sys/devices/system/cpu/vulnerabilities/") + name);
    if (text.starts_with("Mitigation"))
      active += (active.empty() ? "" : ", ") + std::string(name);
    else if (text.starts_with("Vulnerable"))
      active += (active.empty() ? "" : ", ") + std::string(name) + " (not mitigated)";
  }
  return active.empty() ? "none needed" : active;
}

}  // namespace

Limits look_up_limits() {
  Limits limits;
  limits.memory = {meminfo("MemAvailable"), "the memory that is free"};
  limits.processes = {UINT64_MAX, ""};
  add_control_groups(limits);
  if (const std::uint64_t space = resource(RLIMIT_AS); space != UINT64_MAX)
    lower(limits.memory, space, "RLIMIT_AS");
  const std::uint64_t tasks = tasks_now();
  const auto room = [&](std::uint64_t most) { return most > tasks ? most - tasks : 0; };
  if (const std::uint64_t most = resource(RLIMIT_NPROC); most != UINT64_MAX && geteuid() != 0)
    lower(limits.processes, room(most), "RLIMIT_NPROC");
  if (const auto most = number_in("/proc/sys/kernel/threads-max"))
    lower(limits.processes, room(*most), "kernel.threads-max");
  if (const auto most = number_in("/proc/sys/kernel/pid_max"))
    lower(limits.processes, room(*most), "kernel.pid_max");
  limits.descriptors = {resource(RLIMIT_NOFILE, true), "RLIMIT_NOFILE"};
  limits.mappings = {number_in("/proc/sys/vm/max_map_count").value_or(65530), "vm.max_map_count"};
  limits.stack = {resource(RLIMIT_STACK), "RLIMIT_STACK"};
  return limits;
}

std::vector<std::pair<std::string, std::string>> machine_settings() {
  const bench::Machine machine = bench::describe_machine();
  const Limits limits = look_up_limits();
  const std::string huge = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const std::string overcommit = first_line("/proc/sys/vm/overcommit_memory");
  const std::uint64_t available = limits.memory.value;
  return {
      {"processor", machine.cpu + (machine.virtual_machine ? " (virtual machine)" : "")},
      {"processors usable", std::to_string(machine.cpus)},
      {"frequency", machine.frequency.empty() ? "not told" : machine.frequency},
      {"kernel", machine.kernel},
      {"libc", machine.libc},
      {"memory", bytes_text(double(meminfo("MemTotal"))) + ", usable " +
                     bytes_text(double(available)) + " (" + limits.memory.name + ")"},
      {"swap", meminfo("SwapTotal") == 0 ? "none" : bytes_text(double(meminfo("SwapTotal")))},
      {"page size", bytes_text(double(sysconf(_SC_PAGESIZE)))},
      {"transparent huge pages", huge.empty() ? "not there" : huge},
      {"overcommit", overcommit == "2"   ? "2 (never)"
                     : overcommit == "1" ? "1 (always)"
                                         : "0 (heuristic)"},
      {"mitigations", mitigations()},
      {"processor quota of the control group", cpu_quota()},
      {"processes and threads",
       limit_text(limits.processes.value) + " more (" + limits.processes.name + ")"},
      {"descriptors", limit_text(limits.descriptors.value) + " (RLIMIT_NOFILE, hard)"},
      {"mappings", limit_text(limits.mappings.value) + " (vm.max_map_count)"},
      {"stack", limit_text(limits.stack.value) + " bytes (RLIMIT_STACK)"},
  };
}

std::optional<std::string> exceeds(const Spec& spec, const Limits& limits) {
  const auto short_of = [](const Limit& limit, std::uint64_t needed, const std::string& what) {
    return "it needs " + std::to_string(needed) + " " + what + ", and " + limit.name + " leaves " +
           std::to_string(limit.value);
  };
  // Copies of written pages, page tables of parent and child, and 64 MiB for everything else.
  const std::uint64_t copies = spec.resident / 100 * spec.written;
  const std::uint64_t memory = spec.resident + copies + spec.resident / 100 +
                               (spec.threads + spec.mappings) * 8192 + (std::uint64_t{64} << 20);
  // Not all of it: others live here, too, and what they need meanwhile is not known.
  if (memory > limits.memory.value / 3 * 2)
    return "it needs " + bytes_text(double(memory)) + " of memory, and " + limits.memory.name +
           " leaves " + bytes_text(double(limits.memory.value));
  const std::uint64_t tasks = spec.threads + spec.workers + spec.concurrency * 2 + 8;
  if (tasks > limits.processes.value)
    return short_of(limits.processes, tasks, "processes and threads");
  if (spec.descriptors + 64 > limits.descriptors.value)
    return short_of(limits.descriptors, spec.descriptors + 64, "descriptors");
  if (spec.mappings + 1000 > limits.mappings.value)
    return short_of(limits.mappings, spec.mappings + 1000, "mappings");
  if (spec.environment + spec.arguments + 65536 > limits.stack.value / 4)
    return "arguments and environment have a quarter of the stack's " +
           bytes_text(double(limits.stack.value));
  return {};
}

std::vector<std::uint64_t> parent_sizes(std::uint64_t most) {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t size = 1 << 20; size <= most; size *= 4) sizes.push_back(size);
  return sizes;
}

}  // namespace forkscope::cost
