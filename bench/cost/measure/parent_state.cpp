#include "bench/cost/measure/parent_state.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

namespace forkscope::cost {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20;

[[noreturn]] void skip_errno(const std::string& what) {
  throw Skip(what + ": " + std::strerror(errno));
}

std::string whole_file(const char* path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

std::uint64_t number_in(const char* path, std::uint64_t otherwise) {
  std::uint64_t value = 0;
  return std::ifstream(path) >> value ? value : otherwise;
}

void touch(char* memory, std::size_t size, bool write) {
  volatile char* bytes = memory;
  for (std::size_t at = 0; at < size; at += kPage) {
    if (write)
      bytes[at] = 1;
    else
      (void)bytes[at];
  }
}

char* map(std::size_t size, int flags, int fd = -1) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) skip_errno(size_text(size) + " of memory cannot be had");
  return static_cast<char*>(memory);
}

void want_small_pages(char* memory, std::size_t size) {
  // EINVAL is a kernel without huge pages, which is as good.
  if (madvise(memory, size, MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
    skip_errno("huge pages cannot be turned off for the parent's memory");
}

char* huge_memory(std::size_t size) {
  const std::string setting = whole_file("/sys/kernel/mm/transparent_hugepage/enabled");
  if (setting.empty()) throw Skip("the kernel has no transparent huge pages");
  if (setting.find("[never]") != std::string::npos)
    throw Skip("transparent huge pages are set to never");
  char* memory = map(size + kHugePage, MAP_PRIVATE | MAP_ANONYMOUS);
  memory += (kHugePage - reinterpret_cast<std::uintptr_t>(memory) % kHugePage) % kHugePage;
  if (madvise(memory, size, MADV_HUGEPAGE) != 0) skip_errno("MADV_HUGEPAGE is refused");
  touch(memory, size, true);
  // What was asked for is not always given: memory may be fragmented.
  std::ifstream smaps("/proc/self/smaps_rollup");
  std::uint64_t huge = 0;
  for (std::string word; smaps >> word;)
    if (word == "AnonHugePages:") smaps >> huge;
  if (huge * 1024 < size / 10 * 9) throw Skip("the kernel did not give enough huge pages");
  return memory;
}

// Every second block read-only, so that neighbours are mappings of their own.
void fragment(char* memory, std::size_t size) {
  const std::uint64_t most = number_in("/proc/sys/vm/max_map_count", 65530);
  std::size_t block = 64 * 1024;
  while (size / block + 1000 > most) block *= 2;
  for (std::size_t at = 0; at + block <= size; at += 2 * block)
    if (mprotect(memory + at, block, PROT_READ) != 0) skip_errno("memory cannot be fragmented");
}

void nothing() {}

extern "C" void* wait_at_gate(void* gate) {
  char byte;
  while (read(*static_cast<int*>(gate), &byte, 1) < 0 && errno == EINTR) continue;
  return nullptr;
}

}  // namespace

ParentState::ParentState(const Spec& spec) {
  make_memory(spec);
  make_mappings(spec.mappings);
  open_descriptors(spec.descriptors);
  for (std::uint64_t i = 0; i < spec.handlers; ++i)
    if (pthread_atfork(nothing, nothing, nothing) != 0) throw Skip("no room for at-fork handlers");
  start_threads(spec.threads);
}

ParentState::~ParentState() {
  if (gate_[1] >= 0) close(gate_[1]);
  for (pthread_t thread : threads_) pthread_join(thread, nullptr);
}

void ParentState::make_memory(const Spec& spec) {
  size_ = (spec.resident + kPage - 1) / kPage * kPage;
  if (size_ == 0) return;
  const std::string& kind = spec.memory;
  if (kind == "huge") {
    memory_ = huge_memory(size_);
    return;
  }
  if (kind == "file") {
    const int fd = memfd_create("forkscope-bench", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, off_t(size_)) != 0) skip_errno("no file in memory can be made");
    memory_ = map(size_, MAP_PRIVATE, fd);
    close(fd);
  } else {
    memory_ = map(size_, (kind == "shared" ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS);
  }
  want_small_pages(memory_, size_);
  touch(memory_, size_, kind != "clean" && kind != "file");
  if (kind == "fragmented") fragment(memory_, size_);
  if (kind == "dontfork" && madvise(memory_, size_, MADV_DONTFORK) != 0)
    skip_errno("MADV_DONTFORK is refused");
}

void ParentState::make_mappings(std::size_t count) {
  if (count == 0) return;
  const std::uint64_t most = number_in("/proc/sys/vm/max_map_count", 65530);
  if (count + 1000 > most)
    throw Skip("vm.max_map_count is " + std::to_string(most) + ", too few for " +
               std::to_string(count) + " more mappings");
  char* memory = map(count * kPage, MAP_PRIVATE | MAP_ANONYMOUS);
  want_small_pages(memory, count * kPage);
  touch(memory, count * kPage, true);
  for (std::size_t i = 0; i < count; i += 2)
    if (mprotect(memory + i * kPage, kPage, PROT_READ) != 0) skip_errno("mappings cannot be made");
}

void ParentState::open_descriptors(std::size_t count) {
  if (count == 0) return;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) skip_errno("the limit of descriptors is not known");
  if (count + 64 > limit.rlim_cur && count + 64 <= limit.rlim_max) {
    limit.rlim_cur = count + 64;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || count + 64 > limit.rlim_cur)
    throw Skip("RLIMIT_NOFILE is " + std::to_string(limit.rlim_max) + ", too few for " +
               std::to_string(count) + " more descriptors");
  for (std::size_t i = 0; i < count; ++i)
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) skip_errno("descriptors cannot be opened");
}

void ParentState::start_threads(std::size_t count) {
  if (count == 0) return;
  if (pipe2(gate_, O_CLOEXEC) != 0) skip_errno("no pipe");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  int error = 0;
  for (std::size_t i = 0; i < count && error == 0; ++i) {
    pthread_t thread;
    error = pthread_create(&thread, &attributes, wait_at_gate, &gate_[0]);
    if (error == 0) threads_.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
  if (error == 0) return;
  close(gate_[1]);
  for (pthread_t thread : threads_) pthread_join(thread, nullptr);
  throw Skip(std::to_string(count) + " threads cannot be started: " + std::strerror(error));
}

}  // namespace forkscope::cost
