// What the numbers depend on: processor, kernel, libc, load, and which CPUs the cases run on.
//
// Reads /proc, /sys and libc; not thread-safe (affinity of the calling process is read).
#pragma once

#include <string>
#include <vector>

namespace forkscope::bench {

struct Machine {
  std::string cpu;  ///< model name
  int cpus = 0;     ///< that this process may use
  bool virtual_machine = false;
  std::string frequency;  ///< "boost on", "governor powersave", ...; empty when not told
  std::string kernel;
  std::string libc;
};
Machine describe_machine();

struct LoadAverage {
  double one_minute = 0;
};
LoadAverage load_average();

/// CPUs for cases that want one and for cases that want two.
struct Pinning {
  std::vector<int> one, two;
};
/// The last CPUs this process may use: interrupts prefer the first. With a single CPU, `two` has
/// one entry.
Pinning choose_cpus();

}  // namespace forkscope::bench
