#include "detector/tracker/sys.hpp"

#include <elf.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstring>

#include "detector/tracker/checkers.hpp"

namespace forkscope::sys {

namespace {

bool failed(long result) { return result < 0 && result > -4096; }

}  // namespace

char* put_number(char* at, std::uint32_t number) {
  char digits[10];
  std::size_t count = 0;
  do {
    digits[count++] = char('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

void* map_private(std::size_t size) {
  long result = call(SYS_mmap, 0, long(size), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (failed(result)) return nullptr;
  checkers::leave_alone(reinterpret_cast<void*>(result), size);
  return reinterpret_cast<void*>(result);
}

void unmap(void* memory, std::size_t size) { call(SYS_munmap, arg(memory), long(size)); }

bool equals(const void* address, int value) {
  // Requeues nobody. (A wait with a time limit of 0 would sleep for the timer's slack.)
  static int nobody;
  return call(SYS_futex, arg(address), FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 0, 0, arg(&nobody),
              value) == 0;
}

bool is_shared(const void* address) {
  constexpr std::uint64_t kPage = 4096;
  auto page = reinterpret_cast<std::uint64_t>(address) / kPage;
  long fd = openat("/proc/self/pagemap", O_RDONLY);
  if (fd >= 0) {
    // Documentation/admin-guide/mm/pagemap.rst: bit 61, "page is file-page or shared-anon". A lock
    // that was ever taken lies in a page that was written: a private one is anonymous by now.
    std::uint64_t entry = 0;
    long size = pread(int(fd), &entry, sizeof entry, page * sizeof entry);
    close(int(fd));
    if (size == long(sizeof entry)) return ((entry >> 61) & 1) != 0;
  }
  // No /proc: mremap with an old size of 0 duplicates a shared mapping and refuses a private one.
  long copy = call(SYS_mremap, long(page * kPage), 0, long(kPage), MREMAP_MAYMOVE);
  if (failed(copy)) return copy != -EINVAL;
  unmap(reinterpret_cast<void*>(copy), kPage);
  return true;
}

constinit std::atomic<ClockFunction> clock_function{nullptr};

/// Looks `__vdso_clock_gettime` up in the object the kernel mapped (vdso(7)). Not by dlopen: before
/// libc is initialised, that would initialise it without an environment.
void init_clock() {
  auto base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) return;
  auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  auto* segments = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
  std::uint64_t bias = base;
  const Elf64_Dyn* dynamic = nullptr;
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD) bias = base + segments[i].p_offset - segments[i].p_vaddr;
    if (segments[i].p_type == PT_DYNAMIC)
      dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segments[i].p_offset);
  }
  const Elf64_Sym* symbols = nullptr;
  const char* names = nullptr;
  const std::uint32_t* hash = nullptr;
  for (; dynamic != nullptr && dynamic->d_tag != DT_NULL; ++dynamic) {
    std::uint64_t value = bias + dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const Elf64_Sym*>(value);
    if (dynamic->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(value);
    if (dynamic->d_tag == DT_HASH) hash = reinterpret_cast<const std::uint32_t*>(value);
  }
  if (symbols == nullptr || names == nullptr || hash == nullptr) return;
  for (std::uint32_t i = 0; i < hash[1]; ++i)
    if (symbols[i].st_shndx != SHN_UNDEF &&
        std::strcmp(names + symbols[i].st_name, "__vdso_clock_gettime") == 0)
      clock_function.store(reinterpret_cast<ClockFunction>(bias + symbols[i].st_value),
                           std::memory_order_relaxed);
}

namespace {

constinit std::atomic<std::uint64_t> last_time{0};

}  // namespace

void remember_time() { last_time.store(now()); }

std::uint64_t time_without_clock() { return last_time.fetch_add(1'000) + 1'000; }

bool clock_needs_calls() {
  char name[32] = {};
  const long fd = openat("/sys/devices/system/clocksource/clocksource0/current_clocksource", 0);
  if (fd < 0) return false;
  const long size = pread(int(fd), name, sizeof name - 1, 0);
  close(int(fd));
  // arch/x86/include/asm/vdso/clocksource.h: what the vDSO reads by itself.
  return size > 0 && std::strncmp(name, "tsc", 3) != 0 && std::strncmp(name, "kvm-", 4) != 0 &&
         std::strncmp(name, "hyperv", 6) != 0;
}

}  // namespace forkscope::sys
