#include "detector/symbols/symbols.hpp"

#include <sys/stat.h>

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "detector/symbols/code_names.hpp"
#include "detector/symbols/data_names.hpp"
#include "detector/symbols/module_file.hpp"

namespace forkscope {
namespace {

class DwflNamer final : public Namer {
 public:
  explicit DwflNamer(bool symbols_only = false) : symbols_only_(symbols_only) {}
  std::vector<Frame> code(std::uint64_t address, bool call,
                          const std::vector<ModuleRecord>& modules) override;
  void data(LockInfo& lock, const std::vector<ModuleRecord>& modules) override;

 private:
  /// What is known of one file, shared by all processes that map it: names depend on the address
  /// inside the file alone, not on where it was mapped.
  struct Known {
    explicit Known(const std::string& path) : file(ModuleFile::open(path)) {
      if (file) data = std::make_unique<DataNames>(*file);
    }
    std::unique_ptr<ModuleFile> file;  ///< null: cannot be read
    std::unique_ptr<DataNames> data;
    std::unordered_map<std::uint64_t, std::vector<CodeName>> code_cache;
    std::unordered_map<std::uint64_t, std::string> data_cache;
  };

  static const ModuleRecord* module_at(std::uint64_t address,
                                       const std::vector<ModuleRecord>& modules);
  Known& known(const std::string& path);

  const bool symbols_only_;
  /// The same file may have several names: /lib is often a link to /usr/lib.
  std::map<std::string, std::shared_ptr<Known>> by_path_;
  std::map<std::pair<dev_t, ino_t>, std::shared_ptr<Known>> by_inode_;
};

DwflNamer::Known& DwflNamer::known(const std::string& path) {
  std::shared_ptr<Known>& file = by_path_[path];
  if (file) return *file;
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return *(file = std::make_shared<Known>(path));
  std::shared_ptr<Known>& same = by_inode_[{info.st_dev, info.st_ino}];
  if (!same) same = std::make_shared<Known>(path);
  return *(file = same);
}

const ModuleRecord* DwflNamer::module_at(std::uint64_t address,
                                         const std::vector<ModuleRecord>& modules) {
  for (const ModuleRecord& module : modules) {  // earlier ones are nearer to the process
    if (address >= module.start && address < module.end) return &module;
  }
  return nullptr;
}

std::vector<Frame> DwflNamer::code(std::uint64_t address, bool call,
                                   const std::vector<ModuleRecord>& modules) {
  Frame base;
  base.address = address;
  // The instruction before a return address is the call; it may be the last one of its function
  // (of one that does not return) and even of its module.
  const std::uint64_t instruction = call && address > 0 ? address - 1 : address;
  const ModuleRecord* module = module_at(instruction, modules);
  if (module == nullptr) return {base};
  base.module = module->path;
  base.offset = address - module->bias;
  Known& names = known(module->open_path());
  if (!names.file) return {base};

  const std::uint64_t key = instruction - module->bias;
  auto cached = names.code_cache.find(key);
  if (cached == names.code_cache.end()) {
    cached = names.code_cache
                 .emplace(key, symbols_only_ ? symbol_names(*names.file, key)
                                             : code_names(*names.file, key))
                 .first;
  }
  std::vector<Frame> frames;
  for (const CodeName& name : cached->second) {
    Frame frame = base;
    frame.function = name.function;
    frame.file = name.file;
    frame.line = name.line;
    frame.inlined = true;
    frames.push_back(frame);
  }
  frames.back().inlined = false;
  return frames;
}

void DwflNamer::data(LockInfo& lock, const std::vector<ModuleRecord>& modules) {
  const ModuleRecord* module = module_at(lock.address, modules);
  if (module == nullptr) return;
  lock.module = module->path;
  lock.offset = lock.address - module->bias;
  Known& names = known(module->open_path());
  if (!names.file) return;
  auto cached = names.data_cache.find(lock.offset);
  if (cached == names.data_cache.end()) {
    cached = names.data_cache
                 .emplace(lock.offset, symbols_only_ ? names.data->symbol(lock.offset)
                                                     : names.data->name(lock.offset))
                 .first;
  }
  lock.symbol = cached->second;
}

/// libdw's handles are for one thread at a time.
class SharedNamer final : public Namer {
 public:
  std::vector<Frame> code(std::uint64_t address, bool call,
                          const std::vector<ModuleRecord>& modules) override {
    std::lock_guard lock(mutex_);
    return namer_.code(address, call, modules);
  }
  void data(LockInfo& lock, const std::vector<ModuleRecord>& modules) override {
    std::lock_guard guard(mutex_);
    namer_.data(lock, modules);
  }

 private:
  std::mutex mutex_;
  DwflNamer namer_;
};

}  // namespace

std::unique_ptr<Namer> make_namer() { return std::make_unique<DwflNamer>(); }
std::unique_ptr<Namer> make_symbol_namer() { return std::make_unique<DwflNamer>(true); }
std::unique_ptr<Namer> make_shared_namer() { return std::make_unique<SharedNamer>(); }

}  // namespace forkscope
