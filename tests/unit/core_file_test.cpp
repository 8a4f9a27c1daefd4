// Core files of real processes, written by the kernel and by gdb's gcore, and damaged ones.
#include "detector/inspect/core_file.hpp"

#include <alloca.h>
#include <elf.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>

#include <cstring>
#include <random>

#include "detector/inspect/walk_stack.hpp"
#include "tests/unit/frozen/own_modules.hpp"
#include "tests/unit/support/blocked_process.hpp"

#define OPTIONS
#define CHAIN hung
#include "tests/unit/support/blocked_chains.inc"

namespace {

using forkscope::CoreFile;
using forkscope::KnownRegisters;
using forkscope::StackWalker;
namespace fs = std::filesystem;

pthread_mutex_t orphaned = PTHREAD_MUTEX_INITIALIZER;
constexpr char kReadOnly[] = "bytes that the kernel leaves out of a core file";

[[gnu::noinline]] void lock_orphaned() {
  pthread_mutex_lock(&orphaned);
  hung::after_call();
}

/// A folder for core files, removed at the end.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/forkscope-core-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void write_bytes(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
}

/// Where the kernel writes core files in the folder of the process; false where it does not.
bool kernel_writes_here() {
  const std::string pattern = read_bytes("/proc/sys/kernel/core_pattern");
  return pattern.find_first_of("|/") == std::string::npos;
}

fs::path only_file(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) return entry.path();
  return {};
}

/// What is blocked and not stopped looks like.
struct Seen {
  pid_t tid = 0;
  forkscope::SystemCall call;
  std::vector<std::uint64_t> stack;
};

struct Dump {
  pid_t pid = 0;
  std::vector<Seen> threads;
  fs::path core;  ///< empty: could not be made
};

/// A forked process hangs in a lock it can never get, with a second thread that waits; dumped with
/// `write`.
Dump dump(const std::function<fs::path(pid_t)>& write) {
  Dump result;
  pthread_mutex_trylock(&orphaned);  // by the process that forks
  {
    blocked::Process process({[] { hung::plain_outer(3); },
                              [] {
                                prctl(PR_SET_DUMPABLE, 1);
                                const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
                                setrlimit(RLIMIT_CORE, &all);
                                lock_orphaned();
                              }});
    result.pid = process.pid();
    forkscope::LiveMemory memory(process.pid());
    const auto modules = frozen::own_modules();
    StackWalker walker(memory, modules);
    for (const pid_t tid : blocked::threads(process.pid())) {
      const auto call = blocked::system_call(process.pid(), tid);
      REQUIRE(call);
      KnownRegisters registers;
      registers.pc = call->pc;
      registers.sp = call->sp;
      result.threads.push_back({tid, *call, walker.walk(registers).addresses});
    }
    result.core = write(process.pid());
  }
  pthread_mutex_unlock(&orphaned);
  return result;
}

fs::path by_kernel(const Folder& folder, pid_t pid) {
  if (!kernel_writes_here()) return {};
  // The process writes it where it is: it is ours, with our current folder.
  kill(pid, SIGQUIT);
  siginfo_t info{};
  if (waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0 || info.si_code != CLD_DUMPED) {
    return {};
  }
  return only_file(folder.path());
}

fs::path by_gdb(const Folder& folder, pid_t pid) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return (void)folder, (void)pid, fs::path();  // gdb would copy terabytes of shadow memory
#endif
  if (std::system("command -v gcore >/dev/null") != 0) return {};
  const std::string command = "timeout 100 gcore -o " + (folder.path() / "core").string() + " " +
                              std::to_string(pid) + " >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0) return {};
  return only_file(folder.path());
}

/// Changes to the folder while a process that inherits it is made.
Dump dump_in(const Folder& folder, fs::path (*write)(const Folder&, pid_t)) {
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  const Dump result = dump([&](pid_t pid) { return write(folder, pid); });
  fs::current_path(before);
  return result;
}

std::string failure(const fs::path& path) {
  try {
    CoreFile core(path.string());
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

void check_evidence(const Dump& dumped) {
  CoreFile core(dumped.core.string());
  const auto& process = core.process();
  for (const auto& missing : process.missing) UNSCOPED_INFO(missing.what << ": " << missing.why);
  CHECK(process.missing.empty());
  CHECK(process.from_core);
  CHECK(process.pid == dumped.pid);
  CHECK(process.parent == getpid());
  CHECK(process.forked == true);
  CHECK(process.exe == fs::read_symlink("/proc/self/exe").string());
  CHECK(process.libc == forkscope::Libc::kGlibc);
  CHECK(process.abi == forkscope::Abi::kX86_64);
  std::string command;
  for (const std::string& word : process.command) command += word + '\0';
  CHECK(command == read_bytes("/proc/self/cmdline"));

  // Threads: all, the first one first, in the call they were in.
  REQUIRE(process.threads.size() == dumped.threads.size());
  REQUIRE(core.registers().size() == process.threads.size());
  CHECK(process.threads[0].tid == dumped.pid);
  StackWalker walker(core, process.modules);
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    const auto& thread = process.threads[i];
    const Seen& seen = dumped.threads[i];
    CHECK(thread.tid == seen.tid);
    CHECK(thread.settled);
    REQUIRE(thread.call);
    CHECK(thread.call->number == seen.call.number);
    CHECK(thread.call->sp == seen.call.sp);
    CHECK(thread.call->pc == seen.call.pc);
    CHECK(std::equal(std::begin(seen.call.arguments), std::end(seen.call.arguments),
                     std::begin(thread.call->arguments)));
    const auto stack = walker.walk(core.registers()[i]);
    CHECK(stack.complete);
    CHECK(stack.certain == stack.addresses.size());
    CHECK(stack.addresses == seen.stack);
  }

  // Memory: data from the core, code and constants from the files.
  CHECK(process.threads[0].call->arguments[0] == reinterpret_cast<std::uintptr_t>(&orphaned));
  CHECK(core.get<int>(process.threads[0].call->arguments[0]) == 2);
  CHECK(core.text(reinterpret_cast<std::uintptr_t>(kReadOnly)) == kReadOnly);
  const auto code = reinterpret_cast<std::uintptr_t>(&pthread_mutex_lock);
  std::byte bytes[256];
  REQUIRE(core.read(code, bytes));
  CHECK(std::memcmp(bytes, reinterpret_cast<const void*>(code), sizeof bytes) == 0);
  CHECK_FALSE(core.read(8, bytes));

  // Modules and mappings: as this process has them.
  for (const auto& own : frozen::own_modules()) {
    if (!own.path.starts_with('/')) continue;
    INFO(own.path);
    const auto same = [&](const forkscope::ModuleRecord& module) {
      return module.start == own.start && module.bias == own.bias;
    };
    CHECK(std::any_of(process.modules.begin(), process.modules.end(), same));
  }
  const auto kinds = [&](const std::string& path) {
    return std::count_if(process.mappings.begin(), process.mappings.end(),
                         [&](const auto& mapping) { return mapping.path == path; });
  };
  CHECK(kinds("[stack]") == 1);
  CHECK(kinds("[vdso]") == 1);
  CHECK(kinds(process.exe) > 2);
}

}  // namespace

TEST_CASE("core file: written by the kernel, gives threads, calls, stacks, memory and modules") {
  const Folder folder;
  const Dump dumped = dump_in(folder, by_kernel);
  if (dumped.core.empty()) {
    WARN("skipped: core files of this machine are not written to the current folder");
    return;
  }
  check_evidence(dumped);
}

TEST_CASE("core file: written by gcore, gives threads, calls, stacks, memory and modules") {
  const Folder folder;
  const Dump dumped = dump_in(folder, by_gdb);
  if (dumped.core.empty()) {
    WARN("skipped: gcore (gdb) is not installed, may not attach, or this is a sanitizer's build");
    return;
  }
  check_evidence(dumped);
}

TEST_CASE("core file: the program is looked for where one says, and must be the one that ran") {
  const Folder folder;
  const Dump dumped = dump_in(folder, by_kernel);
  if (dumped.core.empty()) {
    WARN("skipped: core files of this machine are not written to the current folder");
    return;
  }
  const fs::path own = fs::read_symlink("/proc/self/exe");
  const fs::path copy = folder.path() / "copy";
  fs::copy_file(own, copy);
  CoreFile moved(dumped.core.string(), copy.string());
  CHECK(moved.process().exe == copy.string());
  CHECK(moved.process().missing.empty());
  CHECK(StackWalker(moved, moved.process().modules).walk(moved.registers()[0]).addresses ==
        dumped.threads[0].stack);

  CoreFile wrong(dumped.core.string(), "/bin/true");
  REQUIRE(wrong.process().missing.size() == 1);
  CHECK(wrong.process().missing[0].what.find(own.string()) != std::string::npos);
  CHECK(wrong.process().missing[0].why.find("another build") != std::string::npos);
  const auto stack = StackWalker(wrong, wrong.process().modules).walk(wrong.registers()[0]);
  CHECK_FALSE(stack.complete);
  REQUIRE(stack.certain < dumped.threads[0].stack.size());
  CHECK(std::equal(stack.addresses.begin(), stack.addresses.begin() + long(stack.certain),
                   dumped.threads[0].stack.begin()));
  std::byte constants[8];
  CHECK_FALSE(wrong.read(reinterpret_cast<std::uintptr_t>(kReadOnly), constants));

  CoreFile absent(dumped.core.string(), (folder.path() / "absent").string());
  REQUIRE(absent.process().missing.size() == 1);
  CHECK(absent.process().missing[0].why.find("cannot be read") != std::string::npos);
}

TEST_CASE("core file: damaged ones are refused in a sentence or read as far as they go") {
  const Folder folder;
  const Dump dumped = dump_in(folder, by_kernel);
  if (dumped.core.empty()) {
    WARN("skipped: core files of this machine are not written to the current folder");
    return;
  }
  const std::string whole = read_bytes(dumped.core);
  const fs::path damaged = folder.path() / "damaged";
  const auto with = [&](std::size_t offset, char byte) {
    std::string bytes = whole.substr(0, 64 << 10);
    bytes[offset] = byte;
    write_bytes(damaged, bytes);
    return failure(damaged);
  };
  SECTION("cut off") {
    fs::copy_file(dumped.core, damaged);
    fs::resize_file(damaged, whole.size() - 4096);
    CoreFile most(damaged.string());
    REQUIRE(most.process().missing.size() == 1);
    CHECK(most.process().missing[0].why.find("cut off") != std::string::npos);
    CHECK(most.process().threads.size() == 2);
    Elf64_Ehdr header;
    std::memcpy(&header, whole.data(), sizeof header);
    fs::resize_file(damaged, header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr) + 10);
    CHECK(failure(damaged).find("is cut off before the registers") != std::string::npos);
    fs::resize_file(damaged, 40);
    CHECK(failure(damaged).find("is damaged") != std::string::npos);
    fs::resize_file(damaged, 0);
    CHECK(failure(damaged).find("is not a core file") != std::string::npos);
  }
  SECTION("of another kind") {
    CHECK(with(EI_CLASS, ELFCLASS32).find("32-bit") != std::string::npos);
    CHECK(with(EI_DATA, ELFDATA2MSB).find("another processor") != std::string::npos);
    CHECK(with(offsetof(Elf64_Ehdr, e_machine), char(EM_AARCH64)).find("(ELF machine 183)") !=
          std::string::npos);
    CHECK(failure("/etc/passwd").find("is not a core file") != std::string::npos);
    CHECK(failure("/bin/true").find("program or library") != std::string::npos);
    CHECK(failure("/tmp").find("not a regular file") != std::string::npos);
    CHECK(failure(folder.path() / "absent").find("No such file") != std::string::npos);
  }
  SECTION("with random bytes") {
    std::mt19937 random(20240607);
    for (int round = 0; round < 200; ++round) {
      std::string bytes = whole.substr(0, 256 << 10);
      for (int i = 0; i < 30; ++i) bytes[random() % (16 << 10)] = char(random());
      write_bytes(damaged, bytes);
      try {
        CoreFile core(damaged.string());
        StackWalker walker(core, core.process().modules);
        for (const auto& registers : core.registers()) walker.walk(registers);
        CHECK(!core.process().threads.empty());
      } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()).find(damaged.string()) == 0);
      }
    }
  }
}
