#include "bench/cost/measure/launch.hpp"

#include <dlfcn.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "bench/cost/measure/parent_state.hpp"
#include "bench/cost/measure/server.hpp"

namespace forkscope::cost {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

void check_status(int status) {
  if (status != 0)
    throw std::runtime_error("the child ended with wait status " + std::to_string(status));
}

/// "x" so that it is at least `bytes` together, in strings of 64 KiB, as one string has a limit.
std::vector<std::string> padding(std::uint64_t bytes, const std::string& prefix) {
  std::vector<std::string> strings;
  for (std::uint64_t at = 0; at < bytes; at += 65536)
    strings.push_back(prefix + std::to_string(strings.size()) + "=" +
                      std::string(std::min<std::uint64_t>(bytes - at, 65536), 'x'));
  return strings;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Signals and stacks of the copies that share memory: the child runs on a stack of its own.
constexpr std::size_t kStack = 64 * 1024;

class CopyLauncher : public Launcher {
 public:
  using Launch = pid_t (*)(CopyLauncher&);
  CopyLauncher(Contact& contact, Launch launch) : Launcher(contact), launch_(launch) {}

  void start() override {
    pid_ = launch_(*this);
    if (pid_ < 0) fail("no child could be started");
  }
  void finish() override { wait_for(pid_); }
  void finish_any() override {
    int status = 0;
    while (waitpid(-1, &status, 0) < 0)
      if (errno != EINTR) fail("waitpid");
    check_status(status);
  }
  Contact& contact() { return contact_; }
  char* stack_top() { return stack_ + kStack; }

 private:
  Launch launch_;
  pid_t pid_ = -1;
  alignas(16) char stack_[kStack];
};

pid_t by_fork(CopyLauncher& l) {
  const pid_t pid = fork();
  if (pid == 0) l.contact().be_child();
  return pid;
}

pid_t by_under_fork(CopyLauncher& l) {
  const pid_t pid = _Fork();
  if (pid == 0) l.contact().be_child();
  return pid;
}

pid_t by_clone3(CopyLauncher& l) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  const auto pid = pid_t(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid == 0) l.contact().be_child();
  return pid;
}

[[gnu::noinline]] pid_t by_vfork(CopyLauncher& l) {
  const pid_t pid = vfork();
  if (pid == 0) l.contact().be_child();
  return pid;
}

void execute(Contact& contact) {
  execve(contact.program(), contact.arguments(), contact.environment());
  _exit(127);
}

pid_t by_fork_exec(CopyLauncher& l) {
  const pid_t pid = fork();
  if (pid == 0) execute(l.contact());
  return pid;
}

[[gnu::noinline]] pid_t by_vfork_exec(CopyLauncher& l) {
  const pid_t pid = vfork();
  if (pid == 0) execute(l.contact());
  return pid;
}

int clone_child(void* contact) { static_cast<Contact*>(contact)->be_child(); }
int clone_exec_child(void* contact) {
  execute(*static_cast<Contact*>(contact));
  return 127;
}

pid_t by_clone_vm(CopyLauncher& l) {
  return clone(clone_child, l.stack_top(), CLONE_VM | CLONE_VFORK | SIGCHLD, &l.contact());
}
pid_t by_clone_vm_exec(CopyLauncher& l) {
  return clone(clone_exec_child, l.stack_top(), CLONE_VM | CLONE_VFORK | SIGCHLD, &l.contact());
}

// Without a stack of its own, as vfork: the parent waits until the child has executed. It must not
// return from here before, so everything is in this one frame.
[[gnu::noinline]] pid_t by_clone3_vm_exec(CopyLauncher& l) {
#if defined(__x86_64__)
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK;
  arguments.exit_signal = SIGCHLD;
  arguments.stack = reinterpret_cast<std::uintptr_t>(l.stack_top() - kStack);
  arguments.stack_size = kStack;
  Contact* contact = &l.contact();
  long result;
  // The child comes back on an empty stack: it calls, with the contact in rbx, and never returns.
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %[contact], %%rdi\n\t"
      "call *%[entry]\n\t"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "0"(long{SYS_clone3}), "D"(&arguments),
        "S"(sizeof arguments), [contact] "r"(contact), [entry] "r"(&execute)
      : "rcx", "r11", "memory");
  if (result < 0) errno = int(-result);
  return result < 0 ? -1 : pid_t(result);
#else
  (void)l;
  errno = ENOSYS;
  return -1;
#endif
}

pid_t by_posix_spawn(CopyLauncher& l) {
  pid_t pid = -1;
  Contact& c = l.contact();
  errno = posix_spawn(&pid, c.program(), nullptr, nullptr, c.arguments(), c.environment());
  return errno == 0 ? pid : -1;
}

using PidfdSpawn = int (*)(int*, const char*, const posix_spawn_file_actions_t*,
                           const posix_spawnattr_t*, char* const[], char* const[]);

class PidfdLauncher : public Launcher {
 public:
  explicit PidfdLauncher(Contact& contact)
      : Launcher(contact),
        spawn_(reinterpret_cast<PidfdSpawn>(dlsym(RTLD_DEFAULT, "pidfd_spawn"))) {
    if (spawn_ == nullptr) throw Skip("this libc has no pidfd_spawn(); glibc has since 2.39");
  }
  void start() override {
    errno = spawn_(&fd_, contact_.program(), nullptr, nullptr, contact_.arguments(),
                   contact_.environment());
    if (errno != 0) fail("pidfd_spawn");
  }
  void finish() override {
    siginfo_t info{};
    while (waitid(P_PIDFD, id_t(fd_), &info, WEXITED) != 0)
      if (errno != EINTR) fail("waitid");
    close(fd_);
    check_status(info.si_status);
  }
  void finish_any() override { finish(); }

 private:
  PidfdSpawn spawn_;
  int fd_ = -1;
};

class SystemLauncher : public Launcher {
 public:
  using Launcher::Launcher;
  explicit SystemLauncher(Contact& contact) : Launcher(contact) {}
  void start() override { check_status(std::system(contact_.command_line().c_str())); }
  void finish() override {}
  void finish_any() override {}
  bool blocks() const override { return true; }
};

class PopenLauncher : public Launcher {
 public:
  explicit PopenLauncher(Contact& contact) : Launcher(contact) {}
  void start() override {
    stream_ = popen(contact_.command_line().c_str(), "r");
    if (stream_ == nullptr) fail("popen");
  }
  void finish() override { check_status(pclose(stream_)); }
  void finish_any() override { finish(); }

 private:
  FILE* stream_ = nullptr;
};

class ThreadLauncher : public Launcher {
 public:
  explicit ThreadLauncher(Contact& contact) : Launcher(contact) {}
  void prepare() override {}
  void start() override {
    const int error = pthread_create(
        &thread_, nullptr,
        [](void* page) -> void* {
          auto& mine = *static_cast<child_page*>(page);
          mine.first = mine.ready = now_ns();
          burn(mine.task_ns);
          return nullptr;
        },
        &contact_.page());
    if (error != 0) throw std::runtime_error("no thread could be started");
  }
  void finish() override { pthread_join(thread_, nullptr); }
  void finish_any() override { finish(); }

 private:
  pthread_t thread_;
};

}  // namespace

Contact::Contact(const Spec& spec, const std::string& program) : program_(program) {
  // Inherited, hence not close-on-exec.
  page_fd_ = memfd_create("forkscope-bench-page", 0);
  if (page_fd_ < 0 || ftruncate(page_fd_, 4096) != 0) fail("memfd_create");
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd_, 0);
  if (page == MAP_FAILED) fail("mmap");
  page_ = new (page) child_page{};
  if (pipe(task_) != 0) fail("pipe");

  rlimit stack;
  if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur != RLIM_INFINITY &&
      spec.environment + spec.arguments + 65536 > stack.rlim_cur / 4)
    throw Skip("the stack limit of " + size_text(stack.rlim_cur) +
               " allows arguments and environment of a quarter of that only");
  arguments_ = {program_, std::to_string(page_fd_), std::to_string(task_[0])};
  for (std::string& text : padding(spec.arguments, "argument"))
    arguments_.push_back(std::move(text));
  for (char** entry = environ; *entry != nullptr; ++entry) environment_.emplace_back(*entry);
  for (std::string& text : padding(spec.environment, "FORKSCOPE_BENCH_"))
    environment_.push_back(std::move(text));
  argument_pointers_ = pointers(arguments_);
  environment_pointers_ = pointers(environment_);
  command_line_ = "'" + program_ + "' " + arguments_[1] + " " + arguments_[2];
}

Contact::~Contact() {
  munmap(page_, 4096);
  for (int fd : {page_fd_, task_[0], task_[1]}) close(fd);
}

void Contact::send_task() const {
  while (write(task_[1], "t", 1) != 1)
    if (errno != EINTR) fail("the task pipe cannot be written");
}

void Contact::read_task() const {
  char task;
  if (read(task_[0], &task, 1) != 1) _exit(4);
}

void Contact::be_child() {
  page_->first = now_ns();
  read_task();
  page_->ready = now_ns();
  burn(page_->task_ns);
  _exit(0);
}

void Contact::be_ready_child() {
  read_task();
  page_->first = page_->ready = now_ns();
  burn(page_->task_ns);
  _exit(0);
}

void wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) fail("waitpid");
  check_status(status);
}

std::unique_ptr<Launcher> make_launcher(const std::string& method, Contact& contact,
                                        std::uint64_t ready) {
  struct Entry {
    const char* name;
    CopyLauncher::Launch launch;
  };
  static constexpr Entry kCopies[] = {
      {"fork", by_fork},
      {"_Fork", by_under_fork},
      {"clone3", by_clone3},
      {"vfork", by_vfork},
      {"clone-vm", by_clone_vm},
      {"fork-exec", by_fork_exec},
      {"vfork-exec", by_vfork_exec},
      {"clone-vm-exec", by_clone_vm_exec},
      {"clone3-vm-exec", by_clone3_vm_exec},
      {"posix_spawn", by_posix_spawn},
  };
  for (const Entry& entry : kCopies)
    if (method == entry.name) return std::make_unique<CopyLauncher>(contact, entry.launch);
  if (method == "pidfd_spawn") return std::make_unique<PidfdLauncher>(contact);
  if (method == "system") return std::make_unique<SystemLauncher>(contact);
  if (method == "popen") return std::make_unique<PopenLauncher>(contact);
  if (method == "thread") return std::make_unique<ThreadLauncher>(contact);
  if (method == "forkserver") return make_server(contact, 0);
  if (method == "zygote") return make_server(contact, ready);
  throw Skip("this program cannot measure " + method);
}

}  // namespace forkscope::cost
