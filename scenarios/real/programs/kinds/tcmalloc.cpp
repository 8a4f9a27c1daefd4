// gperftools' allocator, while another thread is asking the system for memory inside its spin lock:
// tcmalloc bypass|handler|free. With `handler` the one that forks waits for that lock in the library's
// at-fork handler, healthy; _Fork() knows no handlers.
#include <gperftools/malloc_extension.h>

#include "kinds.h"

namespace {
thread_local bool stays = false;

class Stays : public SysAllocator {
 public:
  explicit Stays(SysAllocator* next) : next_(next) {}
  void* Alloc(size_t size, size_t* actual, size_t alignment) override {
    if (stays) {
      inside();
      wait_for_events();
    }
    return next_->Alloc(size, actual, alignment);
  }

 private:
  SysAllocator* next_;
};

void allocate() {
  void* volatile memory = malloc(64 << 20);
  free(memory);
}

void* allocate_and_stay(void*) {
  stays = true;
  allocate();
  return nullptr;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  prepare();
  MallocExtension* tcmalloc = MallocExtension::instance();
  tcmalloc->SetSystemAllocator(new Stays(tcmalloc->GetSystemAllocator()));
  if (!strcmp(argv[1], "free")) {
    start("poller", poller, nullptr);
    await_inside();
    return fork_and(allocate);
  }
  start("allocates", allocate_and_stay, nullptr);
  await_inside();
  if (!strcmp(argv[1], "handler")) {
    say("target", getpid());
    return fork_and(allocate);
  }
  const pid_t pid = _Fork();
  if (pid == 0) {
    say("target", getpid());
    allocate();
    say("done", 0);
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  return 0;
}
