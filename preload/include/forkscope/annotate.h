/* forkscope/annotate.h: tells forkscope what it cannot see in a program.
 *
 * - A name for a lock, where the address of a heap object says nothing:
 *
 *       FORKSCOPE_LOCK_NAME(&table->lock, "orders table");
 *
 * - Locks of your own (spin locks, futex locks), so that they take part in every verdict:
 *
 *       void spin_lock(struct spin *s) {
 *         FORKSCOPE_LOCK_ACQUIRING(s);
 *         while (!try_to_take(s)) pause();
 *         FORKSCOPE_LOCK_ACQUIRED(s);
 *       }
 *       void spin_unlock(struct spin *s) {
 *         FORKSCOPE_LOCK_RELEASING(s);
 *         give_back(s);
 *       }
 *
 *   The thread that acquires must be the one that releases. Who takes a lock by one try says
 *   ACQUIRED only, if it got it; who waited for a time in vain says GIVEN_UP. Readers of a lock that
 *   several may hold use the two with _SHARED. After initialising, re-initialising (in an at-fork
 *   handler of the child) or before destroying it: FORKSCOPE_LOCK_FORGET, which also forgets the
 *   name. If the memory that `lock` points to changes between fork and acquire in the child, the
 *   lock is taken for repaired.
 *
 * - That forks are safe, and why; for what the calling thread does until it says END:
 *
 *       FORKSCOPE_FORK_SAFE_BEGIN("the child only calls write and _exit");
 *       pid = fork();
 *       FORKSCOPE_FORK_SAFE_END();
 *
 *   Warnings about such a fork become notes with that reason. A child that deadlocks all the same
 *   is reported as it is. The reason must stay where it is, as a string literal does.
 *
 * All of it is a load and two branches that are not taken unless the program runs under forkscope:
 * arguments are not even evaluated. Nothing is to be linked: at the first use a module asks once,
 * by syscall(SYS_getpid) with two arguments that the kernel ignores and forkscope's library does
 * not. Works in static programs and libraries, with and without position-independent code, from C89
 * and C++98 on; where it is not a 64-bit Linux or not a GNU-compatible compiler, or with
 * FORKSCOPE_NO_ANNOTATIONS defined, everything here is empty.
 *
 * Thread-safe, async-signal-safe, and safe in a forked child.
 */
#ifndef FORKSCOPE_ANNOTATE_H
#define FORKSCOPE_ANNOTATE_H

#if defined(__linux__) && defined(__LP64__) && defined(__GNUC__) && !defined(FORKSCOPE_NO_ANNOTATIONS)

#include <sys/syscall.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the library answers. Later versions add a struct of their own. */
struct forkscope_hooks_1 {
  void (*lock_acquiring)(const volatile void *lock, unsigned shared);
  void (*lock_acquired)(const volatile void *lock, unsigned shared);
  void (*lock_given_up)(const volatile void *lock);
  void (*lock_releasing)(const volatile void *lock);
  void (*lock_forget)(const volatile void *lock);
  void (*lock_name)(const volatile void *lock, const char *name);
  void (*forks_declared)(const char *reason);
};

#define FORKSCOPE_HOOKS_QUESTION_1 0x666f726b73636f31L /* "forksco1" */

/* syscall(2) under another name, as its own is declared by unistd.h only if asked for. */
long forkscope_syscall_(long number, ...) __asm__("syscall");

/* One of each in every program and library that uses this header: the address of the first stands
   for an answer that is not known yet. */
extern char forkscope_not_asked_1_ __attribute__((__weak__, __visibility__("hidden")));
char forkscope_not_asked_1_;
extern const void *forkscope_answer_1_ __attribute__((__weak__, __visibility__("hidden")));
const void *forkscope_answer_1_ = &forkscope_not_asked_1_;

static __inline__ __attribute__((__unused__)) const struct forkscope_hooks_1 *
forkscope_hooks_1_(void) {
  const void *answer = __atomic_load_n(&forkscope_answer_1_, __ATOMIC_ACQUIRE);
  if (__builtin_expect(answer == &forkscope_not_asked_1_, 0)) {
    const void *hooks = (const void *)0;
    forkscope_syscall_((long)SYS_getpid, FORKSCOPE_HOOKS_QUESTION_1, &hooks);
    __atomic_store_n(&forkscope_answer_1_, hooks, __ATOMIC_RELEASE);
    answer = hooks;
  }
  return (const struct forkscope_hooks_1 *)answer;
}

#ifdef __cplusplus
}
#endif

/* Not functions: the hook is called from where the macro stands, which is what the report says. */
#define FORKSCOPE_HOOK_1_(hook, a)                                                             \
  do {                                                                                         \
    const struct forkscope_hooks_1 *const forkscope_hooks_ = forkscope_hooks_1_();             \
    if (__builtin_expect(forkscope_hooks_ != (const void *)0, 0)) forkscope_hooks_->hook(a);    \
  } while (0)
#define FORKSCOPE_HOOK_2_(hook, a, b)                                                          \
  do {                                                                                         \
    const struct forkscope_hooks_1 *const forkscope_hooks_ = forkscope_hooks_1_();             \
    if (__builtin_expect(forkscope_hooks_ != (const void *)0, 0)) forkscope_hooks_->hook(a, b); \
  } while (0)

#else
/* Used, as far as warnings go, and not evaluated. */
#define FORKSCOPE_HOOK_1_(hook, a) \
  do {                             \
    (void)sizeof(a);               \
  } while (0)
#define FORKSCOPE_HOOK_2_(hook, a, b) \
  do {                                \
    (void)sizeof(a);                  \
    (void)sizeof(b);                  \
  } while (0)
#endif

/* Before the first attempt to take it, and when it is taken. */
#define FORKSCOPE_LOCK_ACQUIRING(lock) FORKSCOPE_HOOK_2_(lock_acquiring, (lock), 0u)
#define FORKSCOPE_LOCK_ACQUIRED(lock) FORKSCOPE_HOOK_2_(lock_acquired, (lock), 0u)
#define FORKSCOPE_LOCK_ACQUIRING_SHARED(lock) FORKSCOPE_HOOK_2_(lock_acquiring, (lock), 1u)
#define FORKSCOPE_LOCK_ACQUIRED_SHARED(lock) FORKSCOPE_HOOK_2_(lock_acquired, (lock), 1u)
/* It was not taken after all. */
#define FORKSCOPE_LOCK_GIVEN_UP(lock) FORKSCOPE_HOOK_1_(lock_given_up, (lock))
/* Before it is given back, however it was taken. */
#define FORKSCOPE_LOCK_RELEASING(lock) FORKSCOPE_HOOK_1_(lock_releasing, (lock))
/* Nobody has it, and what was there before has nothing to do with it. */
#define FORKSCOPE_LOCK_FORGET(lock) FORKSCOPE_HOOK_1_(lock_forget, (lock))
/* Any lock, also a pthread_mutex_t; after its initialisation. The name is copied, up to 47 bytes. */
#define FORKSCOPE_LOCK_NAME(lock, name) FORKSCOPE_HOOK_2_(lock_name, (lock), (name))

#define FORKSCOPE_FORK_SAFE_BEGIN(reason) FORKSCOPE_HOOK_1_(forks_declared, (reason))
#define FORKSCOPE_FORK_SAFE_END() FORKSCOPE_HOOK_1_(forks_declared, (const char *)0)

#endif
