// Scenario dontfork-memory: a forked child touches memory that fork was told to leave out.
//
// Cause: madvise(MADV_DONTFORK) keeps a mapping out of the copy; V8 does this with its heap, and
// RDMA and GPU libraries with pinned buffers. The child has the pointer and nothing behind it.
//
//   main:   mmap(frames) > madvise(MADV_DONTFORK) > fork
//   worker:                                                frames[0]: SIGSEGV
#include <sys/mman.h>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "dontfork-memory",
    .title = "fork, and touch memory that was marked MADV_DONTFORK",
    .cause =
        "A library has marked memory with MADV_DONTFORK, so that fork leaves it out. The "
        "child inherits pointers into it, and dies of SIGSEGV at the first use.",
    .mechanism = "The parent marks a mapping of its own; the worker reads its first byte.",
    .cure =
        "Start children that use such a library with posix_spawn; or mark the memory "
        "MADV_DOFORK again before the fork.",
    .source = "scenarios/dontfork_memory.cpp",
    .methods = {
        dies("fork", "SIGSEGV", "missing-memory", "the worker reads memory it does not have"),
        silent("spawn", "the worker is a fresh image and maps memory of its own"),
        silent("fork-dofork", "control: the mark was taken back before the fork"),
    }};

constexpr std::size_t kSize = 1 << 16;
volatile unsigned char* frames = nullptr;

void map_frames() {
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("cannot map the frames");
  frames = static_cast<unsigned char*>(memory);
}

void advise(int advice) {
  if (madvise(const_cast<unsigned char*>(frames), kSize, advice) != 0)
    throw_errno("cannot advise on the frames");
}

[[gnu::noinline]] int first_byte() { return frames[0]; }

Worker start(const std::string& method) {
  if (frames == nullptr) map_frames();
  advise(MADV_DONTFORK);
  if (method == "fork-dofork") advise(MADV_DOFORK);
  return method == "spawn" ? spawn_worker("frames") : fork_worker(first_byte);
}

int fresh() {
  map_frames();
  return first_byte();
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, fresh));
}
