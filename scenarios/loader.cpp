// Scenario loader: a child is forked while a thread is in the middle of dlopen.
//
// Cause: fork() makes the loader's locks usable in the child, but not what they guard. The list of
// loaded objects is half changed (r_state is RT_ADD), and when the child opens a library that the
// parent has opened before, an assertion fails (elf/dl-open.c): "Inconsistency detected by ld.so",
// exit status 127.
//
//   load-0: dlopen(plugin) > plugin mapped > open(its dependency) ......... goes on
//   main:   dlopen(codec)                                          fork
//   worker (a copy of main alone):                                 dlopen(codec) > ld.so exits
//
// The plugin needs a second library and looks for it beside itself, where the scenario puts a
// FIFO: opening it waits for a writer.
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <thread>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/pause.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;
namespace fs = std::filesystem;

const Description kDescription = {
    .name = "loader",
    .title = "fork while a thread is in the middle of dlopen",
    .cause =
        "A thread of the parent is loading a library at the fork (in Python: an import). The "
        "child inherits the loader's list of objects half changed; when it opens a library "
        "that the parent has opened before, an assertion of ld.so ends it. NSS and iconv "
        "call dlopen too.",
    .mechanism =
        "The library being loaded needs another that is a FIFO, so the loader stops half-way "
        "until the worker has been started.",
    .cure =
        "Load libraries before the process has threads, or before it forks; or start workers "
        "with posix_spawn.",
    .source = "scenarios/loader.cpp",
    .methods = {
        dies("fork", "exit 127", "libc-lock",
             "forked inside dlopen; the worker opens a library once more"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        completes(
            "fork-half-made", {},
            "forked in the library's constructor; the worker opens it and finds it half made"),
        silent("fork-in-constructor", "control: at that moment; the worker opens another library"),
        silent("fork-after", "control: dlopen was over before the fork").as_timing_of("fork"),
    }};

/// Stands for a codec, a database driver, a module of NSS: opened whenever it is needed.
[[gnu::noinline]] int open_codec() { return dlopen("libresolv.so.2", RTLD_NOW) ? 0 : -1; }

/// What the loader tells debuggers: RT_CONSISTENT, or that it is changing its list.
bool loader_adds() {
  const ElfW(Dyn)* entry = _DYNAMIC;
  while (entry->d_tag != DT_DEBUG) ++entry;
  const auto* debug = reinterpret_cast<const volatile r_debug*>(entry->d_un.d_ptr);
  return debug->r_state == r_debug::RT_ADD;
}

/// A thread that loads the plugin. It stops at the FIFO that is in the place of the library needed,
/// unless that is there as it was built.
class LoadingThread {
 public:
  explicit LoadingThread(bool stops) : stops_(stops) {
    if (mkdtemp(folder_.data()) == nullptr) throw_errno("cannot create " + folder_);
    plugin_ = fs::path(folder_) / kPlugin;
    needed_ = fs::path(folder_) / kNeeded;
    const fs::path built = fs::read_symlink("/proc/self/exe").parent_path() / "plugins";
    fs::create_symlink(built / kPlugin, plugin_);
    if (!stops)
      fs::create_symlink(built / kNeeded, needed_);
    else if (mkfifo(needed_.c_str(), 0600) != 0)
      throw_errno("cannot make a FIFO");
    thread_ = std::thread([this] { load(); });
    begins_.wait();
    if (!stops) {
      thread_.join();
      return;
    }
    wait_until([] { return loader_adds(); });
    wait_until_in_system_call(tid_, SYS_openat);
  }
  LoadingThread(const LoadingThread&) = delete;
  LoadingThread& operator=(const LoadingThread&) = delete;
  ~LoadingThread() {
    // The FIFO's first writer lets the loader go on, to an empty file that it refuses.
    if (stops_) Descriptor(open(needed_.c_str(), O_WRONLY | O_CLOEXEC));
    if (thread_.joinable()) thread_.join();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

 private:
  void load() {
    pthread_setname_np(pthread_self(), "load-0");
    tid_ = gettid();
    begins_.open();
    if (void* library = dlopen(plugin_.c_str(), RTLD_NOW)) dlclose(library);
  }

  static constexpr const char *kPlugin = "libforkscope-plugin.so",
                              *kNeeded = "libforkscope-needed.so";

  const bool stops_;
  std::string folder_ = fs::temp_directory_path() / "forkscope-plugin.XXXXXX";
  fs::path plugin_, needed_;
  Gate begins_;
  pid_t tid_ = 0;
  std::thread thread_;
};

// ---- the same in a constructor, where the list of objects is consistent -------------------------

Pause* in_constructor = nullptr;

/// Called by the constructor of plugins/slow.c.
extern "C" [[gnu::visibility("default")]] void forkscope_in_constructor() {
  if (in_constructor != nullptr) in_constructor->here();
}

const fs::path slow_library() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "plugins" / "libforkscope-slow.so";
}

/// dlopen gives a library whose constructor nobody will end: fork() has reset the loader's lock,
/// which would have made the caller wait for that.
[[gnu::noinline]] int open_half_made(const fs::path& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto made = reinterpret_cast<int (*)()>(dlsym(library, "forkscope_made"));
  return made();
}

Worker fork_in_constructor(bool opens_the_same) {
  const fs::path path = slow_library();
  Pause pause;
  in_constructor = &pause;
  PausedThread thread("load-0", pause, [&] {
    if (void* library = dlopen(path.c_str(), RTLD_NOW)) dlclose(library);
  });
  thread.await();
  return fork_worker([&] { return opens_the_same ? open_half_made(path) : open_codec(); });
}

Worker start(const std::string& method) {
  if (open_codec() != 0) throw std::runtime_error("cannot open libresolv.so.2");
  if (method == "fork-half-made") return fork_in_constructor(true);
  if (method == "fork-in-constructor") return fork_in_constructor(false);
  const LoadingThread thread(method != "fork-after");
  return method == "spawn" ? spawn_worker("codec") : fork_worker(open_codec);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, open_codec));
}
