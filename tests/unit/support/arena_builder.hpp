// Builds arena images as the preload library leaves them, for tests of the reader and the verdicts.
// Time goes on by one with every record, so that records are in the order in which they are added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "detector/record/session.hpp"

namespace forkscope::test {

class ArenaBuilder {
 public:
  ArenaBuilder() : bytes_(record::kArenaHeaderSize) {
    using record::ArenaHeader;
    std::memcpy(bytes_.data(), record::kArenaMagic, sizeof(record::kArenaMagic));
    put(offsetof(ArenaHeader, version), record::kFormatVersion);
    put(offsetof(ArenaHeader, header_size), static_cast<std::uint32_t>(record::kArenaHeaderSize));
  }

  /// Who writes the records that follow.
  ArenaBuilder& as(std::int32_t pid, std::int32_t tid, std::uint32_t image = 1) {
    pid_ = pid, tid_ = tid, image_ = image;
    return *this;
  }
  std::uint64_t now() const { return time_; }

  std::uint64_t hello(const std::string& exe, const std::vector<std::string>& command,
                      const std::string& preload = "/opt/lib/libforkscope.so") {
    std::string arguments;
    for (const std::string& word : command) arguments += word + '\0';
    record::Hello payload{};
    payload.exe_length = static_cast<std::uint32_t>(exe.size());
    payload.command_length = static_cast<std::uint32_t>(arguments.size());
    payload.name_length = static_cast<std::uint32_t>(preload.size());
    return add(record::Type::kHello, {of(payload), of(exe), of(arguments), of(preload)});
  }
  std::uint64_t module(std::uint64_t start, std::uint64_t end, const std::string& path) {
    record::Module payload{start, end, start, static_cast<std::uint32_t>(path.size()), 0};
    return add(record::Type::kModule, {of(payload), of(path)});
  }
  std::uint64_t fork(record::Fork fork, const std::vector<record::ThreadInfo>& threads = {},
                     const std::vector<record::HeldLock>& held = {}) {
    fork.threads = static_cast<std::uint32_t>(threads.size());
    fork.held = static_cast<std::uint32_t>(held.size());
    return add(record::Type::kFork, {of(fork), of(threads), of(held)});
  }
  /// The id becomes the record's offset, as the tracker has it; it is returned.
  std::uint64_t finding(record::Finding finding,
                        const std::vector<record::ThreadInfo>& threads = {},
                        const std::vector<MemoryBytes>& memory = {}, const std::string& text = "") {
    finding.id = bytes_.size();
    finding.threads = static_cast<std::uint32_t>(threads.size());
    finding.slices = static_cast<std::uint32_t>(memory.size());
    finding.text_length = static_cast<std::uint32_t>(text.size());
    std::vector<std::byte> slices;
    for (const MemoryBytes& stretch : memory) {
      const record::MemorySlice slice{stretch.address, stretch.bytes.size()};
      append(slices, of(slice));
      append(slices, stretch.bytes);
      slices.resize((slices.size() + 7) / 8 * 8);
    }
    return add(record::Type::kFinding, {of(finding), of(threads), slices, of(text)});
  }
  std::uint64_t finding_end(std::uint64_t finding, record::Outcome outcome) {
    record::FindingEnd end{finding, outcome, {}};
    return add(record::Type::kFindingEnd, {of(end)});
  }
  std::uint64_t exec(const std::string& path,
                     record::NotObserved reason = record::NotObserved::kObserved,
                     std::uint64_t fork_id = 0, std::int32_t parent = 0) {
    record::Exec payload{fork_id, parent, reason, {}, static_cast<std::uint32_t>(path.size())};
    return add(record::Type::kExec, {of(payload), of(path)});
  }
  std::uint64_t exec_failed(std::int32_t error, std::uint64_t fork_id = 0) {
    return add(record::Type::kExecFailed, {of(record::ExecFailed{fork_id, error, 0})});
  }
  std::uint64_t exit(std::int32_t status, std::uint64_t fork_id = 0) {
    return add(record::Type::kExit, {of(record::Exit{fork_id, status, 0})});
  }
  /// `status` as wait(2) stores it: exit status << 8, or a signal number.
  std::uint64_t child_status(std::int32_t child, std::int32_t status) {
    return add(record::Type::kChildStatus, {of(record::ChildStatus{child, status})});
  }
  /// The id of the handlers is the record's offset, which is returned.
  std::uint64_t atfork(const record::Atfork& atfork) {
    return add(record::Type::kAtfork, {of(atfork)});
  }
  std::uint64_t handler_runs(record::HandlerRuns header,
                             const std::vector<record::HandlerRun>& runs,
                             const std::vector<record::HandlerLock>& locks = {},
                             const std::vector<record::HeldBefore>& before = {}) {
    header.runs = static_cast<std::uint32_t>(runs.size());
    header.locks = static_cast<std::uint32_t>(locks.size());
    header.before = static_cast<std::uint32_t>(before.size());
    return add(record::Type::kHandlerRuns, {of(header), of(runs), of(locks), of(before)});
  }
  std::uint64_t fork_failed(record::Api api, std::int32_t error) {
    return add(record::Type::kForkFailed, {of(record::ForkFailed{1, api, {}, error})});
  }

  std::uint64_t lock_name(std::uint64_t lock, const std::string& name) {
    const record::LockName payload{lock, static_cast<std::uint32_t>(name.size()), 0};
    return add(record::Type::kLockName, {of(payload), of(name)});
  }
  std::uint64_t fork_declared(std::uint64_t fork, const std::string& reason) {
    const record::ForkDeclared payload{fork, static_cast<std::uint32_t>(reason.size()), 0};
    return add(record::Type::kForkDeclared, {of(payload), of(reason)});
  }

  std::uint64_t shared_descriptors(record::SharedDescriptors header,
                                   const std::vector<record::SharedDescriptor>& descriptors) {
    header.count = header.total = static_cast<std::uint32_t>(descriptors.size());
    return add(record::Type::kSharedDescriptors, {of(header), of(descriptors)});
  }

  /// Reserves space and publishes nothing, like a process killed in between.
  void hole(std::uint64_t size) { bytes_.resize(bytes_.size() + record::padded(size)); }

  /// A record of any type around any payload; returns its offset.
  std::uint64_t add(record::Type type, const std::vector<std::span<const std::byte>>& parts) {
    const std::uint64_t offset = bytes_.size();
    std::uint32_t size = sizeof(record::RecordHeader);
    for (const auto& part : parts) size += static_cast<std::uint32_t>(part.size());
    bytes_.resize(offset + sizeof(record::RecordHeader));
    using record::RecordHeader;
    put(offset + offsetof(RecordHeader, magic), record::kRecordMagic);
    put(offset + offsetof(RecordHeader, check),
        record::header_check(offset, type, size, pid_, time_));
    put(offset + offsetof(RecordHeader, type), type);
    put(offset + offsetof(RecordHeader, version),
        static_cast<std::uint16_t>(record::kFormatVersion));
    put(offset + offsetof(RecordHeader, size), size);
    put(offset + offsetof(RecordHeader, pid), pid_);
    put(offset + offsetof(RecordHeader, tid), tid_);
    put(offset + offsetof(RecordHeader, image), image_);
    put(offset + offsetof(RecordHeader, time), time_);
    for (const auto& part : parts) append(bytes_, part);
    bytes_.resize(offset + record::padded(size));
    ++time_;
    return offset;
  }

  template <typename T>
  void put(std::uint64_t offset, const T& value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(T));
  }
  void counter(std::size_t offset_in_counters, std::uint64_t value) {
    put(offsetof(record::ArenaHeader, counters) + offset_in_counters, value);
  }

  /// The image with `free` bytes of unused storage after the records.
  std::vector<std::byte> bytes(std::size_t free = 4096) const {
    std::vector<std::byte> image = bytes_;
    const std::uint64_t tail = bytes_.size();
    std::memcpy(image.data() + offsetof(record::ArenaHeader, tail), &tail, sizeof(tail));
    image.resize(image.size() + free);
    return image;
  }
  Session session() const { return parse_session(bytes()); }

 private:
  template <typename T>
  static std::span<const std::byte> of(const T& value) {
    return std::as_bytes(std::span(&value, 1));
  }
  static std::span<const std::byte> of(const std::string& text) {
    return std::as_bytes(std::span(text));
  }
  template <typename T>
  static std::span<const std::byte> of(const std::vector<T>& values) {
    return std::as_bytes(std::span(values));
  }
  static void append(std::vector<std::byte>& to, std::span<const std::byte> part) {
    to.insert(to.end(), part.begin(), part.end());
  }

  std::vector<std::byte> bytes_;
  std::int32_t pid_ = 100, tid_ = 100;
  std::uint32_t image_ = 1;
  std::uint64_t time_ = 1000;
};

inline record::ThreadInfo thread(std::int32_t tid, const std::string& name,
                                 record::ThreadState state = record::ThreadState::kRunning,
                                 std::uint64_t wait_object = 0) {
  record::ThreadInfo info{};
  info.tid = tid;
  info.state = state;
  info.wait_object = wait_object;
  std::memcpy(info.name, name.data(), std::min(name.size(), sizeof(info.name) - 1));
  return info;
}

/// fork number `id` of process 100, thread 101.
inline record::Fork fork_of(std::uint64_t id, std::int32_t child,
                            record::Api api = record::Api::kFork) {
  record::Fork fork{};
  fork.id = id;
  fork.parent = 100;
  fork.parent_tid = 101;
  fork.child = child;
  fork.api = api;
  return fork;
}

}  // namespace forkscope::test
