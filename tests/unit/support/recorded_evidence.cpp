#include "tests/unit/support/recorded_evidence.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <sstream>

#include "detector/inspect/live_process.hpp"
#include "detector/inspect/modules.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/waited_words.hpp"

namespace forkscope::test::outside {
namespace {

struct Section {
  std::string key, value, text;
};

std::vector<Section> sections(const std::string& name) {
  std::ifstream file(std::string(FORKSCOPE_TEST_DATA) + "/processes/" + name + ".txt");
  INFO(name);
  REQUIRE(file);
  std::vector<Section> found;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    if (line.starts_with('@')) {
      const std::size_t blank = std::min(line.find(' '), line.size());
      found.push_back(
          {line.substr(1, blank - 1), line.substr(std::min(blank + 1, line.size())), ""});
    } else {
      REQUIRE_FALSE(found.empty());
      found.back().text += line + '\n';
    }
  }
  return found;
}

std::string one_line(const Section& section) {
  return section.text.substr(0, section.text.find('\n'));
}

std::vector<std::string> lines(const Section& section) {
  std::vector<std::string> all;
  std::istringstream text(section.text);
  for (std::string line; std::getline(text, line);) all.push_back(line);
  return all;
}

/// What was recorded of a process's memory; nothing else can be read.
class RecordedMemory final : public ProcessMemory {
 public:
  explicit RecordedMemory(const std::vector<MemoryBytes>& slices) : memory_(slices) {}
  bool read(std::uint64_t address, std::span<std::byte> out) override {
    return memory_.read(address, out);
  }

 private:
  EvidenceMemory memory_;
};

MemoryBytes bytes_of(const Section& section) {
  MemoryBytes result;
  result.address = std::stoull(section.value, nullptr, 16);
  for (const std::string& line : lines(section))
    for (std::size_t i = 0; i + 1 < line.size(); i += 2)
      result.bytes.push_back(std::byte(std::stoul(line.substr(i, 2), nullptr, 16)));
  return result;
}

/// "ADDRESS OFFSET i|f MODULE FUNCTION": i for an inlined call.
Frame frame_of(const std::string& line) {
  std::istringstream text(line);
  std::string address, offset, kind;
  Frame frame;
  text >> address >> offset >> kind >> frame.module >> std::ws;
  std::getline(text, frame.function);
  frame.address = std::stoull(address, nullptr, 16);
  frame.offset = std::stoull(offset, nullptr, 16);
  frame.inlined = kind == "i";
  if (frame.module == "-") frame.module.clear();
  return frame;
}

void read_status(ThreadEvidence& thread, const Section& section) {
  const auto status = parse_status(section.text);
  REQUIRE(status);
  REQUIRE(status->has_switches);
  REQUIRE_FALSE(status->ids.empty());
  thread.own_tid = status->ids.back();
  thread.switches = status->switches;
}

void read_call(ThreadEvidence& thread, const Section& section) {
  const auto call = parse_syscall(section.text);
  REQUIRE(call);
  thread.running = call->running;
  if (!call->running) thread.call = call->call;
}

/// The sections of one process, in the order of the file, taken in.
class Reader {
 public:
  ProcessEvidence finish() {
    finish_thread();
    RecordedMemory memory(memory_);
    process_.abi = abi_of(memory, process_.mappings);
    process_.modules = ModuleFinder(memory).modules(process_.mappings);
    process_.libc = libc_of(process_.modules);
    copy_waited_words(process_, memory);
    process_.all_threads = true;
    return std::move(process_);
  }

  void take(const Section& section) {
    if (section.key == "thread") {
      finish_thread();
      in_thread_ = true;
      thread_.tid = before_.tid = std::stoi(section.value);
    } else if (in_thread_) {
      take_of_thread(section);
    } else {
      take_of_process(section);
    }
  }

 private:
  void finish_thread() {
    if (!in_thread_) return;
    before_.start = thread_.start;
    thread_.settled = slept_since({before_}, thread_);
    process_.threads.push_back(std::move(thread_));
    thread_ = before_ = {};
  }

  void take_of_process(const Section& section) {
    if (section.key == "exe") process_.exe = one_line(section);
    if (section.key == "command") process_.command = lines(section);
    if (section.key == "maps") process_.mappings = parse_maps(section.text);
    if (section.key == "memory") memory_.push_back(bytes_of(section));
    if (section.key == "stat") {
      const auto stat = parse_stat(section.text);
      REQUIRE(stat);
      process_.pid = process_.own_pid = stat->id;
      process_.parent = stat->parent;
      process_.start = stat->start;
      process_.state = stat->state;
      process_.name = stat->name;
      process_.forked = (stat->flags & kForkedNoExec) != 0;
      process_.kernel_thread = (stat->flags & kKernelThread) != 0;
    }
    if (section.key == "status") {
      const auto status = parse_status(section.text);
      REQUIRE(status);
      process_.caught_signals = status->caught;
      process_.traced = status->tracer != 0;
      process_.own_pid = status->ids.back();
    }
  }

  void take_of_thread(const Section& section) {
    if (section.key == "stat") {
      const auto stat = parse_stat(section.text);
      REQUIRE(stat);
      thread_.name = stat->name;
      thread_.state = stat->state;
      thread_.start = stat->start;
      thread_.cpu_ticks = stat->cpu_ticks;
    }
    if (section.key == "status") read_status(thread_, section);
    if (section.key == "syscall") read_call(thread_, section);
    if (section.key == "earlier-status") read_status(before_, section);
    if (section.key == "earlier-syscall") read_call(before_, section);
    if (section.key == "start") thread_.start_routine = frame_of(one_line(section));
    if (section.key == "stack") {
      for (const std::string& line : lines(section)) thread_.stack.push_back(frame_of(line));
      thread_.stack_source = StackSource::kBlocked;
      thread_.stack_complete = section.value == "complete";
    }
  }

  ProcessEvidence process_;
  ThreadEvidence thread_, before_;
  bool in_thread_ = false;
  std::vector<MemoryBytes> memory_;
};

}  // namespace

Evidence recorded(const std::string& name) {
  Evidence evidence;
  std::vector<Reader> readers;
  for (const Section& section : sections(name)) {
    if (section.key == "process") {
      readers.emplace_back();
      continue;
    }
    if (section.key == "lasted") {
      evidence.lasted = one_line(section) == "yes";
      continue;
    }
    if (section.key == "remembered") {
      evidence.memory_knows_threads = true;
      for (const std::string& line : lines(section))
        evidence.remembered_threads.push_back({0, frame_of(line)});
      continue;
    }
    REQUIRE_FALSE(readers.empty());
    readers.back().take(section);
  }
  REQUIRE_FALSE(readers.empty());
  evidence.process = readers.front().finish();
  for (std::size_t i = 1; i < readers.size(); ++i)
    evidence.ancestors.push_back(readers[i].finish());
  evidence.parent_gone = evidence.process.forked.value_or(false) && evidence.ancestors.empty();
  return evidence;
}

Diagnosis judge_recorded(const Evidence& evidence) {
  return diagnose(evidence, [&](std::uint64_t address, const std::string& type) {
    LockInfo info;
    info.address = address;
    info.type = type;
    for (const ModuleRecord& module : evidence.process.modules) {
      if (address < module.start || address >= module.end) continue;
      info.module = module.path;
      info.offset = address - module.bias;
    }
    return info;
  });
}

}  // namespace forkscope::test::outside
