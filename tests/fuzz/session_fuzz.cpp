// libFuzzer target: a session file of arbitrary bytes -> records -> report -> JSON and text.
//
// The input is the arena after its header, so that the fuzzer does not spend its time on the
// signature. The check word of each record header is made right: it guards against misplaced
// headers, not against damage, and no fuzzer would guess it.
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "detector/report/print.hpp"
#include "detector/verdict/report.hpp"
#include "tests/unit/support/arena_builder.hpp"

namespace {

using namespace forkscope;

/// Knows no names.
struct NoNames : Namer {
  std::vector<Frame> code(std::uint64_t address, bool, const std::vector<ModuleRecord>&) override {
    Frame frame;
    frame.address = address;
    return {frame};
  }
  void data(LockInfo&, const std::vector<ModuleRecord>&) override {}
};

void mend_checks(std::vector<std::byte>& arena) {
  using record::RecordHeader;
  const auto read = [&](std::uint64_t offset, auto& value) {
    std::memcpy(&value, arena.data() + offset, sizeof value);
  };
  for (std::uint64_t at = record::kArenaHeaderSize; at + sizeof(RecordHeader) <= arena.size();
       at += record::kRecordAlign) {
    std::uint32_t magic = 0, size = 0;
    record::Type type{};
    std::int32_t pid = 0;
    std::uint64_t time = 0;
    read(at + offsetof(RecordHeader, magic), magic);
    if (magic != record::kRecordMagic) continue;
    read(at + offsetof(RecordHeader, type), type);
    read(at + offsetof(RecordHeader, size), size);
    read(at + offsetof(RecordHeader, pid), pid);
    read(at + offsetof(RecordHeader, time), time);
    const std::uint32_t check = record::header_check(at, type, size, pid, time);
    std::memcpy(arena.data() + at + offsetof(RecordHeader, check), &check, sizeof check);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::byte> header = test::ArenaBuilder().bytes(0);
  std::vector<std::byte> arena = header;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  arena.insert(arena.end(), bytes, bytes + size);
  const std::uint64_t tail = arena.size();
  std::memcpy(arena.data() + offsetof(record::ArenaHeader, tail), &tail, sizeof tail);
  mend_checks(arena);
  NoNames names;
  const Report report = judge(parse_session(arena), {}, nullptr, names);
  const TextOptions verbose{true, true, 80};
  for (const Finding& finding : report.findings) finding_text(finding, verbose);
  summary_text(report, verbose);
  report_json(report);
  return 0;
}
