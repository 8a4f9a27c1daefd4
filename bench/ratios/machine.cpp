#include "bench/ratios/machine.hpp"

#include <gnu/libc-version.h>
#include <sched.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace forkscope::bench {
namespace {

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

std::string first_word(const std::string& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

// Value of the first "key : value" line of a /proc/cpuinfo that has this key.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const auto value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

std::string frequency_policy() {
  const std::string devices = "/sys/devices/system/cpu/";
  std::string text;
  if (const std::string governor = first_word(devices + "cpu0/cpufreq/scaling_governor");
      !governor.empty())
    text = "governor " + governor;
  std::string boost = first_word(devices + "cpufreq/boost");
  if (const std::string no_turbo = first_word(devices + "intel_pstate/no_turbo"); !no_turbo.empty())
    boost = no_turbo == "0" ? "1" : "0";
  if (!boost.empty())
    text += (text.empty() ? "" : ", ") + ("boost " + std::string(boost == "0" ? "off" : "on"));
  return text;
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  machine.cpu = cpuinfo("model name");
  if (machine.cpu.empty()) machine.cpu = "unknown CPU";  // not every architecture says
  machine.cpus = int(allowed_cpus().size());
  std::istringstream flags(cpuinfo("flags"));
  for (std::string flag; flags >> flag;)
    if (flag == "hypervisor") machine.virtual_machine = true;
  machine.frequency = frequency_policy();
  utsname names;
  if (uname(&names) == 0) machine.kernel = std::string(names.sysname) + " " + names.release;
  machine.libc = std::string("glibc ") + gnu_get_libc_version();
  return machine;
}

LoadAverage load_average() {
  LoadAverage load;
  getloadavg(&load.one_minute, 1);
  return load;
}

Pinning choose_cpus() {
  const std::vector<int> cpus = allowed_cpus();
  Pinning pinning;
  if (cpus.empty()) return pinning;
  pinning.one = {cpus.back()};
  pinning.two = {cpus.end() - (cpus.size() < 2 ? 1 : 2), cpus.end()};
  return pinning;
}

}  // namespace forkscope::bench
