#include "preload/environment.hpp"

#include <sys/mman.h>

#include <cstring>

#include "detector/tracker/confinement.hpp"
#include "detector/tracker/exec_target.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"

extern char** environ;

namespace forkscope {

namespace {

constexpr char kPreload[] = "LD_PRELOAD=";
constexpr char kOptions[] = "FORKSCOPE_OPTIONS=";

bool starts_with(const char* text, const char* prefix) {
  return std::strncmp(text, prefix, std::strlen(prefix)) == 0;
}

/// Where our path stands in an LD_PRELOAD list (separated by spaces or colons), or null.
const char* own_entry(const char* list) {
  std::size_t length = std::strlen(process.preload);
  for (const char* at = list; (at = std::strstr(at, process.preload)) != nullptr; at += length) {
    bool begins = at == list || at[-1] == ':' || at[-1] == ' ';
    bool ends = at[length] == '\0' || at[length] == ':' || at[length] == ' ';
    if (begins && ends) return at;
  }
  return nullptr;
}

/// Whether memory of the program's can be read: where not, execve says EFAULT, not we. Asks the
/// kernel once for neighbours in a page.
class ReadablePages {
 public:
  bool has(const void* at) {
    std::uintptr_t page = reinterpret_cast<std::uintptr_t>(at) / 4096;
    if (page != known_ && sys::readable(at, 1)) known_ = page;
    return page == known_;
  }

 private:
  std::uintptr_t known_ = ~std::uintptr_t{0};  // no page
};

bool cannot_be_preloaded(record::NotObserved target) {
  switch (target) {
    case record::NotObserved::kForeignLibc:
    case record::NotObserved::kOtherClass:
    case record::NotObserved::kUnreachable:
    case record::NotObserved::kConfined:
      return true;
    case record::NotObserved::kObserved:
    case record::NotObserved::kStatic:
    case record::NotObserved::kSetuid:
    case record::NotObserved::kUnreadable:
      return false;
  }
  return false;
}

/// Whether a program started from here can open it: opening is what asks for all rights at once.
/// True where nothing is known, for want of a descriptor.
bool opens(const char* path, int flags) {
  const long fd = sys::openat(path, flags | O_NONBLOCK | O_NOCTTY);
  if (fd >= 0) sys::close(int(fd));
  return fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -EINTR;
}

bool files_are_there() {
  if (!opens(process.preload, O_RDONLY)) return false;
  if (!process.arena.attached()) return true;
  char records[sizeof process.options.session + sizeof "/" + 16];
  stpcpy(stpcpy(stpcpy(records, process.options.session), "/"), record::kArenaFileName);
  return opens(records, O_RDWR);
}

}  // namespace

record::NotObserved observable(const char* path) {
  const record::NotObserved target = exec_target(path);
  const bool loads = target == record::NotObserved::kObserved ||
                     target == record::NotObserved::kUnreadable;
  if (!loads || process.preload[0] == '\0') return target;
  if (!confinement::lets_library_start()) return record::NotObserved::kConfined;
  return files_are_there() ? target : record::NotObserved::kUnreachable;
}

ExecEnvironment::ExecEnvironment(char* const* given, record::NotObserved target) : given_(given) {
  if (process.preload[0] == '\0') return;
  bool options = process.variable[0] == '\0';  // nothing to pass on
  ReadablePages pointers, texts;
  for (; given != nullptr; ++count_) {
    if (!pointers.has(given + count_)) return;
    const char* variable = given[count_];
    if (variable == nullptr) break;
    if (!texts.has(variable)) return;
    if (starts_with(variable, kPreload)) preload_ = variable + sizeof kPreload - 1;
    if (starts_with(variable, kOptions)) options = true;
  }
  bool present = preload_ != nullptr && own_entry(preload_) != nullptr;
  strip_ = cannot_be_preloaded(target);
  if (strip_ ? !present : (present && options)) return;
  scratch_ = (count_ + 3) * sizeof(char*) + sizeof kPreload + std::strlen(process.preload) + 2 +
             (preload_ != nullptr ? std::strlen(preload_) : 0);
}

char* const* ExecEnvironment::build(void* scratch) const {
  if (scratch_ == 0) return given_;
  auto** variables = static_cast<char**>(scratch);
  char* text = reinterpret_cast<char*>(variables + count_ + 3);
  std::size_t used = 0;
  bool options = false;
  for (std::size_t i = 0; i < count_; ++i) {
    if (starts_with(given_[i], kPreload)) continue;
    options = options || starts_with(given_[i], kOptions);
    variables[used++] = given_[i];
  }
  const char* own = preload_ != nullptr ? own_entry(preload_) : nullptr;
  char* at = stpcpy(text, kPreload);
  if (strip_) {
    at = std::strncpy(at, preload_, std::size_t(own - preload_)) + (own - preload_);
    const char* rest = own + std::strlen(process.preload);
    stpcpy(at, *rest != '\0' ? rest + 1 : rest);
  } else if (own != nullptr) {
    stpcpy(at, preload_);
  } else {
    at = stpcpy(at, process.preload);
    if (preload_ != nullptr && *preload_ != '\0') stpcpy(stpcpy(at, ":"), preload_);
  }
  if (text[sizeof kPreload - 1] != '\0') variables[used++] = text;
  if (!strip_ && !options && process.variable[0] != '\0') variables[used++] = process.variable;
  variables[used] = nullptr;
  return variables;
}

const char* search_path() {
  for (char** one = environ; one != nullptr && *one != nullptr; ++one)
    if (starts_with(*one, "PATH=")) return *one + 5;
  return nullptr;
}

void* large_scratch(std::size_t size) { return sys::map_private(size); }

void free_large_scratch(void* memory, std::size_t size) { sys::unmap(memory, size); }

}  // namespace forkscope
