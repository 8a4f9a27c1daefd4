// Raw system calls: what the tracker uses instead of libc.
//
// Not through libc, because libc's wrappers are interposed by this very library, set errno, or may
// be replaced by the program. Async-signal-safe, fork-safe, thread-safe. Results are the kernel's:
// negative errno on failure; -ENOSYS also for a call that the program's sandbox would punish
// (confinement.hpp), which is not made.
#pragma once

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace forkscope::sys {

/// The program has put itself into a sandbox: permitted() knows what that lets through.
extern std::atomic<bool> confined;
[[gnu::cold]] bool permitted(long number, const long (&arguments)[6]);

inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
  if (confined.load(std::memory_order_relaxed)) [[unlikely]]
    if (!permitted(number, {a, b, c, d, e, f})) return -ENOSYS;
#if defined(__x86_64__)
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
#else
#error "forkscope's preload library knows x86-64 only"
#endif
}

template <typename T>
long arg(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

/// Where it must not be asked: the last that was known.
[[gnu::cold]] int known_pid();
inline int getpid() {
  const long pid = call(SYS_getpid);
  return pid > 0 ? int(pid) : known_pid();
}
inline int getppid() { return int(call(SYS_getppid)); }
inline int gettid() { return int(call(SYS_gettid)); }
inline long write(int fd, const void* data, std::size_t size) {
  return call(SYS_write, fd, arg(data), long(size));
}
inline long openat(const char* path, int flags) {
  return call(SYS_openat, AT_FDCWD, arg(path), flags | O_CLOEXEC);
}
inline long pread(int fd, void* data, std::size_t size, std::uint64_t offset) {
  return call(SYS_pread64, fd, arg(data), long(size), long(offset));
}
inline void close(int fd) { call(SYS_close, fd); }

/// Writes the number in decimal, at most ten digits and no NUL. Gives where it ends.
char* put_number(char* at, std::uint32_t number);

/// Zero-filled private memory, or null. `size` is rounded up to pages by the kernel.
void* map_private(std::size_t size);
void unmap(void* memory, std::size_t size);

/// Whether `size` bytes (at most one page beyond the first) can be read. rt_sigprocmask with an
/// impossible `how` reads eight bytes of its argument and changes nothing: no descriptor, and
/// permitted by about every seccomp policy. False where it is not.
inline bool readable(const void* address, std::size_t size) {
  auto probe = [](std::uintptr_t at) {
    const long answer = call(SYS_rt_sigprocmask, -1, long(at & ~std::uintptr_t{7}), 0, 8);
    return answer != -EFAULT && answer != -ENOSYS;
  };
  auto first = reinterpret_cast<std::uintptr_t>(address);
  return first >= 4096 && probe(first) && probe(first + size - 1);
}

/// Whether the int at `address` is `value`; false where nothing can be read. Asked of the kernel in
/// one call (a futex requeue of no one), so that nobody can unmap it in between.
bool equals(const void* address, int value);

/// Whether the page of `address` is shared with other processes: a lock in it may have an owner
/// there. True also when it cannot be found out. Reads /proc/self/pagemap, else asks mremap.
bool is_shared(const void* address);

/// The kernel's clock_gettime of the vDSO, past whatever the program puts in front of libc's (a
/// fake clock may lock); null until init_clock(), where there is no vDSO with a DT_HASH, and once
/// reading the processor's counter is forbidden, which the vDSO does.
using ClockFunction = int (*)(clockid_t, timespec*);
extern std::atomic<ClockFunction> clock_function;
void init_clock();
/// Whether the vDSO asks the kernel all the same: the machine's clock is none it can read.
bool clock_needs_calls();
/// Whether the processor's counter may be read: where not, an rdtsc is SIGSEGV.
extern std::atomic<bool> has_counter;
/// What now() gives where no clock may be read any more: a little more each time, so that whoever
/// waits for a time comes to an end. remember_time() says from when on.
[[gnu::cold]] std::uint64_t time_without_clock();
void remember_time();

/// CLOCK_MONOTONIC in nanoseconds.
inline std::uint64_t now() {
  timespec ts{};
  if (ClockFunction clock = clock_function.load(std::memory_order_relaxed))
    clock(CLOCK_MONOTONIC, &ts);
  else if (call(SYS_clock_gettime, CLOCK_MONOTONIC, arg(&ts)) != 0) [[unlikely]]
    return time_without_clock();
  return std::uint64_t(ts.tv_sec) * 1'000'000'000u + std::uint64_t(ts.tv_nsec);
}

/// Sleeps for `nanoseconds`, less than a second, or until a signal comes; false where it may not.
inline bool nap(long nanoseconds) {
  timespec step{0, nanoseconds};
  return call(SYS_nanosleep, arg(&step), 0) != -ENOSYS;
}

}  // namespace forkscope::sys
