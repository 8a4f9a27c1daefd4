// Functions of libc whose lock fork does not reset: tzset, setenv, getaddrinfo, syslog and their
// families, as detector/record/unsafe_calls.def has them. Those that are only noted are in
// unsafe_noted.S, popen in process.cpp, dl_iterate_phdr in object_list.cpp.
#include <fcntl.h>
#include <grp.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include <cstdarg>
#include <type_traits>

#include "detector/tracker/inject_inside.hpp"
#include "preload/inside_call.hpp"
#include "preload/real.hpp"

using namespace forkscope;

extern "C" {
// Declared by no header, or only with _FORTIFY_SOURCE.
void __syslog_chk(int priority, int flag, const char* format, ...);
void __vsyslog_chk(int priority, int flag, const char* format, va_list list);
int __cxa_atexit(void (*function)(void*), void* argument, void* object) noexcept;
int __cxa_at_quick_exit(void (*function)(void*), void* object) noexcept;
}

/// The whole of an interposer: inside, the next definition, outside.
#define FORKSCOPE_TRACKED(result, name, parameters, arguments, specifiers) \
  FORKSCOPE_EXPORT result name parameters specifiers {                     \
    FORKSCOPE_INSIDE(name);                                                \
    return next<decltype(::name)>(record::UnsafeCall::name) arguments;     \
  }

/// The same for functions that do what they did when they are called twice with the same arguments:
/// fork:while-in has the thread stay inside that way.
#define FORKSCOPE_REPEATED(result, name, parameters, arguments, specifiers)             \
  FORKSCOPE_EXPORT result name parameters specifiers {                                  \
    FORKSCOPE_INSIDE(name);                                                             \
    return repeated(record::UnsafeCall::name, [&] {                                     \
      return next<decltype(::name)>(record::UnsafeCall::name) arguments;                \
    });                                                                                 \
  }

namespace {

template <typename Call>
[[gnu::noinline]] void call_again(record::UnsafeCall name, Call&& call) {
  constexpr int kCalls = 64;  // most of the time shall be inside
  while (inject::inside_libc::again(name))
    for (int i = 0; i < kCalls; ++i) call();
}

template <typename Call>
[[gnu::always_inline]] inline auto repeated(record::UnsafeCall name, Call&& call) {
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
    if (inject::lock_points()) [[unlikely]]
      call_again(name, call);
  } else {
    auto result = call();
    if (inject::lock_points()) [[unlikely]]
      call_again(name, [&] { result = call(); });
    return result;
  }
}

}  // namespace

// kTimezone
FORKSCOPE_REPEATED(void, tzset, (), (), noexcept)
FORKSCOPE_REPEATED(tm*, localtime, (const time_t* when), (when), noexcept)
FORKSCOPE_REPEATED(tm*, localtime_r, (const time_t* __restrict when, tm* __restrict into),
                  (when, into), noexcept)
FORKSCOPE_REPEATED(tm*, gmtime, (const time_t* when), (when), noexcept)
FORKSCOPE_REPEATED(tm*, gmtime_r, (const time_t* __restrict when, tm* __restrict into), (when, into),
                  noexcept)
FORKSCOPE_REPEATED(time_t, mktime, (tm * when), (when), noexcept)
FORKSCOPE_REPEATED(time_t, timegm, (tm * when), (when), noexcept)
FORKSCOPE_REPEATED(char*, ctime, (const time_t* when), (when), noexcept)
FORKSCOPE_REPEATED(char*, ctime_r, (const time_t* __restrict when, char* __restrict into),
                  (when, into), noexcept)

// kEnvironment
FORKSCOPE_REPEATED(int, setenv, (const char* name, const char* value, int replace),
                  (name, value, replace), noexcept)
FORKSCOPE_REPEATED(int, unsetenv, (const char* name), (name), noexcept)
FORKSCOPE_REPEATED(int, putenv, (char* assignment), (assignment), noexcept)
FORKSCOPE_REPEATED(int, clearenv, (), (), noexcept)

// kAddresses, kDatabases
FORKSCOPE_TRACKED(int, getaddrinfo,
                  (const char* __restrict node, const char* __restrict service,
                   const addrinfo* __restrict hints, addrinfo** __restrict result),
                  (node, service, hints, result), )
FORKSCOPE_REPEATED(passwd*, getpwnam, (const char* name), (name), )
FORKSCOPE_REPEATED(passwd*, getpwuid, (uid_t id), (id), )
FORKSCOPE_REPEATED(group*, getgrnam, (const char* name), (name), )
FORKSCOPE_REPEATED(group*, getgrgid, (gid_t id), (id), )
FORKSCOPE_REPEATED(servent*, getservbyname, (const char* name, const char* protocol),
                  (name, protocol), )
FORKSCOPE_REPEATED(servent*, getservbyport, (int port, const char* protocol), (port, protocol), )
FORKSCOPE_REPEATED(protoent*, getprotobyname, (const char* name), (name), )
FORKSCOPE_TRACKED(hostent*, gethostbyname, (const char* name), (name), )
FORKSCOPE_TRACKED(hostent*, gethostbyaddr, (const void* address, socklen_t length, int type),
                  (address, length, type), )

// kRandom
FORKSCOPE_TRACKED(long, random, (), (), noexcept)
FORKSCOPE_TRACKED(void, srandom, (unsigned seed), (seed), noexcept)
FORKSCOPE_TRACKED(int, rand, (), (), noexcept)
FORKSCOPE_TRACKED(void, srand, (unsigned seed), (seed), noexcept)
FORKSCOPE_TRACKED(char*, initstate, (unsigned seed, char* state, size_t size), (seed, state, size),
                  noexcept)
FORKSCOPE_TRACKED(char*, setstate, (char* state), (state), noexcept)

// kLog
FORKSCOPE_TRACKED(void, vsyslog, (int priority, const char* format, va_list list),
                  (priority, format, list), )
FORKSCOPE_TRACKED(void, __vsyslog_chk, (int priority, int flag, const char* format, va_list list),
                  (priority, flag, format, list), )
FORKSCOPE_TRACKED(void, openlog, (const char* name, int option, int facility),
                  (name, option, facility), )
FORKSCOPE_TRACKED(void, closelog, (), (), )

FORKSCOPE_EXPORT void syslog(int priority, const char* format, ...) {
  FORKSCOPE_INSIDE(syslog);
  va_list list;
  va_start(list, format);
  next<decltype(::vsyslog)>(record::UnsafeCall::vsyslog)(priority, format, list);
  va_end(list);
}

FORKSCOPE_EXPORT void __syslog_chk(int priority, int flag, const char* format, ...) {
  FORKSCOPE_INSIDE(__syslog_chk);
  va_list list;
  va_start(list, format);
  next<decltype(::__vsyslog_chk)>(record::UnsafeCall::__vsyslog_chk)(priority, flag, format, list);
  va_end(list);
}

// kLocale
FORKSCOPE_EXPORT char* setlocale(int category, const char* locale) noexcept {
  auto* function = next<decltype(::setlocale)>(record::UnsafeCall::setlocale);
  if (locale == nullptr) return function(category, nullptr);  // a question, without the lock
  FORKSCOPE_INSIDE(setlocale);
  return repeated(record::UnsafeCall::setlocale, [&] { return function(category, locale); });
}
FORKSCOPE_TRACKED(locale_t, newlocale, (int mask, const char* name, locale_t base),
                  (mask, name, base), noexcept)
FORKSCOPE_TRACKED(locale_t, duplocale, (locale_t locale), (locale), noexcept)
FORKSCOPE_TRACKED(void, freelocale, (locale_t locale), (locale), noexcept)

// kText
FORKSCOPE_REPEATED(char*, bindtextdomain, (const char* domain, const char* folder), (domain, folder),
                  noexcept)
FORKSCOPE_TRACKED(char*, bind_textdomain_codeset, (const char* domain, const char* codeset),
                  (domain, codeset), noexcept)
FORKSCOPE_REPEATED(char*, textdomain, (const char* domain), (domain), noexcept)
FORKSCOPE_TRACKED(char*, gettext, (const char* text), (text), noexcept)
FORKSCOPE_TRACKED(char*, dgettext, (const char* domain, const char* text), (domain, text), noexcept)
FORKSCOPE_TRACKED(char*, dcgettext, (const char* domain, const char* text, int category),
                  (domain, text, category), noexcept)

// kConversion
FORKSCOPE_TRACKED(iconv_t, iconv_open, (const char* to, const char* from), (to, from), )
FORKSCOPE_TRACKED(int, iconv_close, (iconv_t conversion), (conversion), )

// kExit
FORKSCOPE_TRACKED(int, __cxa_atexit, (void (*function)(void*), void* argument, void* object),
                  (function, argument, object), noexcept)
FORKSCOPE_TRACKED(int, __cxa_at_quick_exit, (void (*function)(void*), void* object),
                  (function, object), noexcept)
FORKSCOPE_TRACKED(int, on_exit, (void (*function)(int, void*), void* argument),
                  (function, argument), noexcept)

// kSemaphores
FORKSCOPE_EXPORT sem_t* sem_open(const char* name, int flags, ...) noexcept {
  FORKSCOPE_INSIDE(sem_open);
  auto* function = next<decltype(::sem_open)>(record::UnsafeCall::sem_open);
  if ((flags & O_CREAT) == 0) return function(name, flags);
  va_list list;
  va_start(list, flags);
  mode_t mode = va_arg(list, mode_t);
  unsigned value = va_arg(list, unsigned);
  va_end(list);
  return function(name, flags, mode, value);
}
FORKSCOPE_TRACKED(int, sem_close, (sem_t * semaphore), (semaphore), noexcept)

// kPipes
FORKSCOPE_TRACKED(int, pclose, (FILE * pipe), (pipe), )
