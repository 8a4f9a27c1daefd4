// Writes the corpus session_fuzz starts from into the folder named: sessions as the tracker leaves
// them, one finding of every kind and evidence among them.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "tests/unit/support/arena_builder.hpp"

namespace {

using namespace forkscope;
using namespace forkscope::test;

void write(const std::filesystem::path& folder, const std::string& name,
           const ArenaBuilder& arena) {
  const auto bytes = arena.bytes(0);
  std::ofstream file(folder / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()) + record::kArenaHeaderSize,
             static_cast<std::streamsize>(bytes.size() - record::kArenaHeaderSize));
}

ArenaBuilder started() {
  ArenaBuilder arena;
  arena.as(100, 101).hello("/usr/bin/reader", {"reader", "--all"});
  arena.module(0x1000, 0x2000, "");
  arena.as(200, 200).fork(fork_of(1, 200), {thread(101, "main"), thread(102, "reader")},
                          {{0x1800, 0x1030, 102, record::LockType::kMutexNormal, 0, 0, 0}});
  return arena;
}

record::Finding finding_of(record::Kind kind, record::Evidence evidence) {
  record::Finding finding{};
  finding.fork = 1;
  finding.kind = kind;
  finding.evidence = evidence;
  finding.lock = 0x1800;
  finding.holder_tid = 102;
  finding.holder_caller = 0x1030;
  finding.waiter_frames = 1;
  finding.waiter[0] = 0x1020;
  return finding;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_seeds FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (int kind = 0; kind <= int(record::kLastKind); ++kind) {
    ArenaBuilder arena = started();
    for (int evidence = 0; evidence <= int(record::kLastEvidence); ++evidence) {
      const auto id = arena.finding(finding_of(record::Kind(kind), record::Evidence(evidence)),
                                    {thread(102, "reader", record::ThreadState::kSemWait, 0x1800)},
                                    {{0x5000, std::vector<std::byte>(24)}}, "/run/app.lock");
      if (evidence % 2 == 0) arena.finding_end(id, record::Outcome(evidence % 6));
    }
    arena.as(100, 101).child_status(200, kind % 2 == 0 ? 11 : 127 << 8);
    write(folder, "kind-" + std::to_string(kind), arena);
  }
  ArenaBuilder lives = started();
  lives.exec("/bin/true", record::NotObserved::kStatic);
  lives.exec_failed(2);
  lives.exit(3);
  lives.as(100, 101).fork(fork_of(2, 0, record::Api::kVfork));
  lives.fork(fork_of(3, 201, record::Api::k_Fork), {thread(102, "")});
  lives.fork_failed(record::Api::kClone, 11);
  lives.child_status(201, 9);
  write(folder, "lives", lives);
}
