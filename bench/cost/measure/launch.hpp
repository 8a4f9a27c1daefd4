// Starting a process by each method, the whole cycle: task in, start, end.
//
// A Launcher belongs to one thread at a time. Everything that takes time and is not the start (the
// arguments, pipes, the shared page, a server) is made before the clock runs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/cost/measure/page.h"
#include "bench/cost/spec.hpp"

namespace forkscope::cost {

/// What a child needs: the page, the task pipe, what to execute.
class Contact {
 public:
  /// `program` is what methods that execute something execute.
  Contact(const Spec& spec, const std::string& program);
  ~Contact();
  Contact(const Contact&) = delete;
  Contact& operator=(const Contact&) = delete;

  child_page& page() { return *page_; }
  void send_task() const;
  /// In the child, of methods that copy: says where it is, does the task, ends.
  [[noreturn]] void be_child();
  /// The same of a child that was ready before: its first instruction is the one after the task.
  [[noreturn]] void be_ready_child();

  const char* program() const { return program_.c_str(); }
  char** arguments() { return argument_pointers_.data(); }
  char** environment() { return environment_pointers_.data(); }
  const std::string& command_line() const { return command_line_; }

 private:
  void read_task() const;

  child_page* page_;
  int page_fd_, task_[2];
  std::string program_, command_line_;
  std::vector<std::string> arguments_, environment_;
  std::vector<char*> argument_pointers_, environment_pointers_;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  /// Before the clock runs.
  virtual void prepare() { contact_.send_task(); }
  /// Returns when the parent may go on. Throws Skip when the method is not there.
  virtual void start() = 0;
  /// Waits for the end of the child that was started last.
  virtual void finish() = 0;
  /// Of several that run: waits for the end of any.
  virtual void finish_any() = 0;
  /// start() returns when the child has ended already.
  virtual bool blocks() const { return false; }

 protected:
  explicit Launcher(Contact& contact) : contact_(contact) {}
  Contact& contact_;
};

/// Make it before the parent gets its memory and threads: servers are copies of the process as it
/// is now. `ready` is how many children a zygote keeps ready. Throws Skip.
std::unique_ptr<Launcher> make_launcher(const std::string& method, Contact& contact,
                                        std::uint64_t ready);

/// Throws std::runtime_error unless the process ended with status 0.
void wait_for(pid_t pid);

}  // namespace forkscope::cost
