#include "detector/cli/diagnose_suspects.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "detector/cli/diagnose_process.hpp"
#include "detector/cli/processes.hpp"
#include "detector/cli/proven_hangs.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/small_file.hpp"

namespace forkscope::cli {
namespace {

/// What was told of another one that hangs alike, with what is this one's own.
Diagnosis as_of(Diagnosis diagnosis, const Process& process) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  diagnosis.age_seconds = double(now.tv_sec) + double(now.tv_nsec) / 1e9 -
                          double(process.start) / double(sysconf(_SC_CLK_TCK));
  diagnosis.command = split_at_nul(read_small_file(fmt::format("/proc/{}/cmdline", process.pid)));
  return diagnosis;
}

}  // namespace

std::vector<Diagnosis> diagnose_suspects(const std::vector<pid_t>& pids, Namer& namer) {
  std::vector<Diagnosis> found;
  const auto add = [&](Diagnosis diagnosis) {
    if (diagnosis.finding) found.push_back(std::move(diagnosis));
  };
  ProvenHangs proven;
  std::vector<Evidence> unproven;
  for (pid_t pid : pids) {
    const auto process = find_process(pid);
    if (!process) continue;
    if (auto diagnosis = proven.find(*process)) {
      add(as_of(*std::move(diagnosis), *process));
      continue;
    }
    auto evidence = observe_suspect(pid, namer);
    if (!evidence) continue;
    Diagnosis diagnosis = diagnosis_of(*evidence, namer);
    if (patience_helps(diagnosis, *evidence)) {
      unproven.push_back(*std::move(evidence));
      continue;
    }
    proven.add(*process, *evidence, diagnosis);
    add(std::move(diagnosis));
  }
  if (!unproven.empty()) poll(nullptr, 0, kPatienceMilliseconds);
  for (Evidence& evidence : unproven) {
    look_again(evidence);
    add(diagnosis_of(evidence, namer));
  }
  std::sort(found.begin(), found.end(),
            [](const Diagnosis& a, const Diagnosis& b) { return a.pid < b.pid; });
  return found;
}

}  // namespace forkscope::cli
