#include "detector/tracker/process.hpp"

#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <string_view>

#include "detector/tracker/log.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

constinit Process process;

std::uint64_t Process::next_fork_id() {
  static constinit std::atomic<std::uint64_t> without_session{1};
  auto& counter = arena.attached() ? arena.header()->next_fork : without_session;
  return counter.fetch_add(1, std::memory_order_relaxed);
}

std::uint64_t Process::repeat_key(std::initializer_list<std::uint64_t> words) const {
  std::uint64_t key = image;
  for (const std::uint64_t word : words) key = (key ^ word) * 0xff51afd7ed558ccdu ^ key >> 31;
  return key | 1;
}

void Process::publish(const Arena::Space& space, record::Type type, std::int32_t by) {
  arena.publish(space, type, by != 0 ? by : pid, current_tid(), image, sys::now(), probe);
}

int sys::known_pid() { return process.pid; }

namespace {

const char* find_variable(char** envp, const char* name) {
  std::size_t length = std::strlen(name);
  for (char** variable = envp; variable != nullptr && *variable != nullptr; ++variable)
    if (std::strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
      return *variable + length + 1;
  return nullptr;
}

template <std::size_t N>
bool copy_text(char (&to)[N], const char* from, std::size_t length) {
  if (length >= N) return false;
  std::memcpy(to, from, length);
  to[length] = '\0';
  return true;
}

/// The name under which the loader knows this library: that is what exec must pass on.
void remember_own_path() {
  dl_find_object found{};
  if (_dl_find_object(reinterpret_cast<void*>(&init_process), &found) != 0) return;
  const char* name = found.dlfo_link_map->l_name;
  if (name != nullptr && name[0] == '/') copy_text(process.preload, name, std::strlen(name));
}

void write_hello(int argc, char** argv) {
  char exe[1024];
  long exe_length =
      sys::call(SYS_readlinkat, AT_FDCWD, sys::arg("/proc/self/exe"), sys::arg(exe), sizeof exe);
  const char* exe_path = exe;
  if (exe_length <= 0) {  // no /proc here
    exe_path = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    exe_length = exe_path != nullptr ? long(std::strlen(exe_path)) : 0;
  }
  std::string_view name(exe_path, std::size_t(exe_length));
  name.remove_prefix(name.rfind('/') + 1);  // substr() throws: nothing but libc is linked
  process.is_python = name.starts_with("python");
  constexpr std::size_t kCommandLimit = 4096;
  std::size_t command_length = 0;
  int arguments = 0;
  for (; arguments < argc && argv[arguments] != nullptr; ++arguments) {
    std::size_t more = std::strlen(argv[arguments]) + 1;
    if (command_length + more > kCommandLimit) break;
    command_length += more;
  }
  std::size_t name_length = std::strlen(process.preload);
  record::Hello hello{};
  hello.parent = sys::getppid();
  hello.exe_length = std::uint32_t(exe_length);
  hello.command_length = std::uint32_t(command_length);
  hello.name_length = std::uint32_t(name_length);
  auto space =
      process.reserve(sizeof hello + std::size_t(exe_length) + command_length + name_length);
  if (!space) return;
  Filler fill(space.payload());
  fill.put(hello);
  fill.bytes(exe_path, std::size_t(exe_length));
  for (int i = 0; i < arguments; ++i) fill.bytes(argv[i], std::strlen(argv[i]) + 1);
  fill.bytes(process.preload, name_length);
  process.publish(space, record::Type::kHello);
}

}  // namespace

void init_process(int argc, char** argv, char** envp) {
  process.pid = sys::getpid();
  remember_own_path();
  struct stat info {};
  if (sys::call(SYS_fstat, 2, sys::arg(&info)) == 0) {
    process.stderr_device = info.st_dev;
    process.stderr_inode = info.st_ino;
  }
  // A setuid program takes no orders from the environment of whoever called it.
  const char* text = getauxval(AT_SECURE) != 0 ? nullptr : find_variable(envp, "FORKSCOPE_OPTIONS");
  if (text != nullptr) {
    OptionError error;
    if (!parse_options(text, process.options, error))
      die(125, "FORKSCOPE_OPTIONS: ", error.message);
    char* at = process.variable;
    if (std::strlen(text) + sizeof "FORKSCOPE_OPTIONS=" <= sizeof process.variable) {
      std::memcpy(at, "FORKSCOPE_OPTIONS=", sizeof "FORKSCOPE_OPTIONS=" - 1);
      std::memcpy(at + sizeof "FORKSCOPE_OPTIONS=" - 1, text, std::strlen(text) + 1);
    }
  }
  const char* failed =
      process.options.session[0] != '\0' ? process.arena.open(process.options.session) : "";
  if (failed == Arena::kNoRoom) {  // nor for anything else: its own stack is to grow
    process.pid = 0;
    process.preload[0] = '\0';
  } else if (failed == nullptr) {
    process.image = process.arena.header()->next_image.fetch_add(1, std::memory_order_relaxed);
    write_hello(argc, argv);
  }
}

}  // namespace forkscope
