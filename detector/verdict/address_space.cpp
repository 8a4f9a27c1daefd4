#include "detector/verdict/address_space.hpp"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::string_view kLibraryName = "libforkscope.so";

/// Without the return type, which demangled names of function templates start with:
/// "void std::f<int>(char)" gives "std::f<int>(char)".
std::string_view without_return_type(std::string_view function) {
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < function.size(); ++i) {
    const char c = function[i];
    if (c == '<') ++depth;
    if (c == '>') --depth;
    if (depth > 0) continue;
    if (c == '(') break;  // the parameters, or "(anonymous namespace)"
    if (c == ' ') begin = i + 1;
  }
  return function.substr(begin);
}

const Frame* first_of_program(const std::vector<Frame>& frames) {
  const auto found = std::find_if_not(frames.begin(), frames.end(), is_standard_library);
  if (found != frames.end()) return &*found;
  return frames.empty() ? nullptr : &frames.back();
}

}  // namespace

bool is_standard_library(const Frame& frame) {
  const std::string_view name = without_return_type(frame.function);
  for (std::string_view prefix : {"std::", "__gthread", "__gnu_cxx::"}) {
    if (name.starts_with(prefix)) return true;
  }
  return false;
}

bool is_runtime(const Frame& frame) {
  return is_runtime_module(frame.module) || is_standard_library(frame);
}

AddressSpace::AddressSpace(std::vector<ModuleRecord> modules, const HelloRecord* hello,
                           Namer& namer)
    : modules_(std::move(modules)), namer_(&namer) {
  if (hello != nullptr) {
    executable_ = hello->exe;
    preload_ = hello->preload;
  }
}

const ModuleRecord* AddressSpace::module_at(std::uint64_t address) const {
  const auto next =
      std::upper_bound(modules_.begin(), modules_.end(), address,
                       [](std::uint64_t a, const ModuleRecord& m) { return a < m.start; });
  if (next == modules_.begin()) return nullptr;
  const ModuleRecord& module = *std::prev(next);
  return address < module.end ? &module : nullptr;
}

bool AddressSpace::is_preload_library(std::uint64_t address) const {
  const ModuleRecord* module = module_at(address);
  return module != nullptr && ((!preload_.empty() && module->path == preload_) ||
                               base_name(module->path) == kLibraryName);
}

void AddressSpace::append(std::vector<Frame>& frames, std::uint64_t address, bool call) const {
  if (address == 0 || is_preload_library(address)) return;
  for (Frame& frame : namer_->code(address, call, modules_)) frames.push_back(std::move(frame));
}

std::vector<Frame> AddressSpace::stack(std::span<const std::uint64_t> return_addresses) const {
  std::vector<Frame> frames;
  for (std::uint64_t address : return_addresses) append(frames, address, true);
  return frames;
}

std::vector<Frame> AddressSpace::stack(const UnwoundStack& unwound) const {
  std::vector<Frame> frames;
  for (std::uint64_t address : unwound.addresses) {
    const auto& interrupted = unwound.interrupted;
    append(frames, address,
           std::find(interrupted.begin(), interrupted.end(), address) == interrupted.end());
  }
  return frames;
}

std::optional<Frame> AddressSpace::function(std::uint64_t address) const {
  std::vector<Frame> frames;
  append(frames, address, false);
  if (frames.empty()) return std::nullopt;
  return frames.back();  // the function itself, not what was inlined at its first instruction
}

std::optional<Frame> AddressSpace::call_site(std::uint64_t return_address) const {
  return caller({&return_address, 1});
}

std::optional<Frame> AddressSpace::caller(std::span<const std::uint64_t> return_addresses) const {
  std::vector<Frame> frames;
  for (std::uint64_t address : return_addresses) {
    append(frames, address, true);
    if (!frames.empty()) break;
  }
  const Frame* frame = first_of_program(frames);
  return frame == nullptr ? std::nullopt : std::optional(*frame);
}

void leave_out_union(LockInfo& lock) {
  if (lock.symbol.ends_with("[0]")) lock.symbol.resize(lock.symbol.size() - 3);
}

LockInfo AddressSpace::lock(std::uint64_t address, const std::string& type) const {
  LockInfo lock;
  lock.address = address;
  lock.type = type;
  namer_->data(lock, modules_);
  if (type.ends_with("semaphore") || type.ends_with("barrier")) leave_out_union(lock);
  if (lock.module.empty()) {
    // Even without symbols "libfoo.so+0x4020" says whose lock it is.
    if (const ModuleRecord* module = module_at(address)) {
      lock.module = module->path;
      lock.offset = address - module->bias;
    }
  }
  return lock;
}

LockInfo AddressSpace::nameless(std::uint64_t address, const std::string& type) {
  LockInfo lock;
  lock.address = address;
  lock.type = type;
  return lock;
}

AddressSpaces::AddressSpaces(const Session& session, Namer& namer)
    : namer_(&namer), history_(session) {
  for (const HelloRecord& hello : session.hellos) hellos_.emplace(hello.meta.image, &hello);
}

const AddressSpace& AddressSpaces::of(const RecordMeta& record) {
  const auto key = history_.period(record.pid, record.image, record.offset);
  auto found = spaces_.find(key);
  if (found == spaces_.end()) {
    const auto hello = hellos_.find(record.image);
    found =
        spaces_
            .emplace(key, AddressSpace(history_.modules(record.pid, record.image, record.offset),
                                       hello == hellos_.end() ? nullptr : hello->second, *namer_))
            .first;
  }
  return found->second;
}

}  // namespace forkscope
