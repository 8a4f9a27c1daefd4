#include "detector/tracker/confinement.hpp"

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace confinement {

struct Filter {
  Filter* next;
  std::atomic<bool> active;
  std::uint32_t length;
  sock_filter code[];
};

namespace {

constexpr std::uint32_t kLongest = BPF_MAXINSNS;

constinit std::atomic<Filter*> filters{nullptr};
constinit std::atomic<bool> strict{false};

void update() {
  bool any = strict.load();
  for (const Filter* one = filters.load(); one != nullptr; one = one->next)
    any = any || one->active.load();
  sys::confined.store(any);
}

bool jumps(std::uint16_t operation, std::uint32_t left, std::uint32_t right) {
  switch (operation) {
    case BPF_JEQ:
      return left == right;
    case BPF_JGT:
      return left > right;
    case BPF_JGE:
      return left >= right;
    default:  // BPF_JSET
      return (left & right) != 0;
  }
}

std::uint32_t computed(std::uint16_t operation, std::uint32_t left, std::uint32_t right) {
  switch (operation) {
    case BPF_ADD:
      return left + right;
    case BPF_SUB:
      return left - right;
    case BPF_MUL:
      return left * right;
    case BPF_DIV:
      return right != 0 ? left / right : 0;
    case BPF_OR:
      return left | right;
    case BPF_AND:
      return left & right;
    case BPF_XOR:
      return left ^ right;
    case BPF_LSH:
      return right < 32 ? left << right : 0;
    case BPF_RSH:
      return right < 32 ? left >> right : 0;
    default:  // BPF_NEG
      return 0 - left;
  }
}

/// What a filter says, as the kernel would have it (net/core/filter.c and kernel/seccomp.c of
/// Linux). What the kernel would not have taken says SECCOMP_RET_KILL_PROCESS.
std::uint32_t run(const Filter& filter, const seccomp_data& data) {
  std::uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (std::uint32_t at = 0; at < filter.length; ++at) {
    const sock_filter& one = filter.code[at];
    const std::uint32_t operand = BPF_SRC(one.code) == BPF_X ? x : one.k;
    switch (BPF_CLASS(one.code)) {
      case BPF_RET:
        return BPF_RVAL(one.code) == BPF_A ? a : one.k;
      case BPF_LD:
      case BPF_LDX: {
        std::uint32_t& to = BPF_CLASS(one.code) == BPF_LD ? a : x;
        if (BPF_MODE(one.code) == BPF_IMM)
          to = one.k;
        else if (BPF_MODE(one.code) == BPF_LEN)
          to = sizeof data;
        else if (BPF_MODE(one.code) == BPF_MEM && one.k < BPF_MEMWORDS)
          to = memory[one.k];
        else if (BPF_MODE(one.code) == BPF_ABS && one.k <= sizeof data - sizeof to)
          std::memcpy(&to, reinterpret_cast<const char*>(&data) + one.k, sizeof to);
        else
          return SECCOMP_RET_KILL_PROCESS;
        break;
      }
      case BPF_ST:
      case BPF_STX:
        if (one.k >= BPF_MEMWORDS) return SECCOMP_RET_KILL_PROCESS;
        memory[one.k] = BPF_CLASS(one.code) == BPF_ST ? a : x;
        break;
      case BPF_ALU:
        a = computed(BPF_OP(one.code), a, operand);
        break;
      case BPF_JMP:
        // Forward only: a jump out of the program ends the loop.
        at += BPF_OP(one.code) == BPF_JA ? std::min(one.k, kLongest)
              : jumps(BPF_OP(one.code), a, operand) ? one.jt
                                                    : one.jf;
        break;
      default:  // BPF_MISC
        (BPF_MISCOP(one.code) == BPF_TAX ? x : a) = BPF_MISCOP(one.code) == BPF_TAX ? a : x;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

/// The call is made, or fails with an error: nobody is punished for it.
bool allows(std::uint32_t action) {
  action &= SECCOMP_RET_ACTION_FULL;
  return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG || action == SECCOMP_RET_ERRNO;
}

template <typename Good>
bool all_say(const seccomp_data& data, Good&& good) {
  for (const Filter* one = filters.load(std::memory_order_acquire); one != nullptr; one = one->next)
    if (one->active.load(std::memory_order_relaxed) &&
        !good(run(*one, data)))
      return false;
  return true;
}

seccomp_data data_of(long number) {
  seccomp_data data{};
  data.nr = int(number);
  data.arch = AUDIT_ARCH_X86_64;
  data.instruction_pointer = reinterpret_cast<std::uint64_t>(&data_of);
  return data;
}

/// What the library calls in a program that it has nothing to say about, and in a child that it
/// has.
constexpr std::initializer_list<long> kCallsOfLibrary = {
    SYS_clock_gettime, SYS_close,  SYS_fstat,    SYS_futex,      SYS_getpid,
    SYS_getppid,       SYS_gettid, SYS_mmap,     SYS_mprotect,   SYS_mremap,
    SYS_munmap,        SYS_openat, SYS_pread64,  SYS_prlimit64,
    SYS_nanosleep,     SYS_read,   SYS_readlinkat, SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_tgkill};

}  // namespace

void give_up_counter() {
  sys::has_counter.store(false);
  sys::clock_function.store(nullptr);
}

void be_strict(bool now) {
  if (now) sys::remember_time();
  strict.store(now);
  update();
}

Filter* add(const sock_fprog* program) {
  if (!sys::readable(program, sizeof *program)) return nullptr;
  const std::size_t size = program->len * sizeof(sock_filter);
  if (program->len == 0 || program->len > kLongest) return nullptr;
  auto begin = reinterpret_cast<const char*>(program->filter);
  for (std::size_t at = 0; at < size; at += std::min<std::size_t>(4096, size - at))
    if (!sys::readable(begin + at, std::min<std::size_t>(4096, size - at))) return nullptr;
  auto* filter = static_cast<Filter*>(sys::map_private(sizeof(Filter) + size));
  if (filter == nullptr) {  // not to be known: nothing may be asked
    be_strict(true);
    return nullptr;
  }
  filter->length = program->len;
  std::memcpy(filter->code, begin, size);
  filter->active.store(true, std::memory_order_relaxed);
  filter->next = filters.load(std::memory_order_relaxed);
  sys::remember_time();
  const bool forbids_clock = !allows(run(*filter, data_of(SYS_clock_gettime)));
  if (forbids_clock && sys::clock_needs_calls()) sys::clock_function.store(nullptr);
  while (!filters.compare_exchange_weak(filter->next, filter, std::memory_order_release)) {
  }
  update();
  return filter;
}

void remove(Filter& filter) {
  filter.active.store(false);
  update();
}

bool lets_library_start() {
  if (!sys::confined.load()) return true;
  return std::all_of(kCallsOfLibrary.begin(), kCallsOfLibrary.end(), [](long number) {
    return all_say(data_of(number), allows);
  });
}

}  // namespace confinement

namespace sys {

constinit std::atomic<bool> confined{false};
constinit std::atomic<bool> has_counter{true};

bool permitted(long number, const long (&arguments)[6]) {
  using namespace confinement;
  if (number == SYS_exit || number == SYS_exit_group) return true;  // it was to end
  if (strict.load(std::memory_order_relaxed)) return number == SYS_write || number == SYS_read;
  seccomp_data data = data_of(number);
  for (std::size_t i = 0; i < std::size(arguments); ++i) data.args[i] = std::uint64_t(arguments[i]);
  return all_say(data, allows);
}

}  // namespace sys

}  // namespace forkscope
