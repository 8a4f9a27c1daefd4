#include "detector/cli/diagnose_process.hpp"

#include <poll.h>

namespace forkscope::cli {

DataNamer data_namer(Namer& namer, const ProcessEvidence& process) {
  return [&namer, &process](std::uint64_t address, const std::string& type) {
    LockInfo lock;
    lock.address = address;
    lock.type = type;
    namer.data(lock, process.modules);
    return lock;
  };
}

std::optional<Diagnosis> diagnose_process(pid_t pid, const ObserveOptions& options, Namer& namer) {
  auto evidence = observe(pid, options, namer);
  if (!evidence) return std::nullopt;
  if (wants_patience(*evidence)) {
    poll(nullptr, 0, kPatienceMilliseconds);
    look_again(*evidence);
  }
  return diagnose(*evidence, data_namer(namer, evidence->process));
}

}  // namespace forkscope::cli
