// posix_spawn, posix_spawnp, and their pidfd twins of glibc 2.39: their children share the parent's
// memory until they exec, so they orphan nothing; counted, named, and given the environment that
// keeps the tree together.
#include <cerrno>
#include <cstring>

#include "detector/tracker/exec_target.hpp"
#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/process.hpp"
#include "preload/environment.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;

extern char** environ;

namespace {

void note_unobserved(std::int32_t child, std::uint64_t fork, const char* path,
                     record::NotObserved target) {
  std::size_t length = std::strlen(path);
  record::Exec exec{fork, process.pid, target, {}, std::uint32_t(length)};
  process.append_with_text(record::Type::kExec, exec, path, length, child);
}

template <typename Spawn>
[[gnu::always_inline]] inline int do_spawn(record::Api api, const char* path,
                                           char* const* variables, pid_t* child, void* caller,
                                           Spawn&& spawn) {
  int error = errno;
  observed(record::Call::kPosixSpawn, caller);
  if (inject::armed) [[unlikely]] {
    if (int refused = inject::fails(InjectAction::kSpawnFail, caller)) {
      note_spawn_failed(api, refused);
      errno = error;
      return refused;
    }
  }
  record::NotObserved target = observable(path);
  pid_t started = 0;
  errno = error;
  int result = with_exec_environment(variables, target, [&](char* const* built) {
    return spawn(&started, const_cast<char**>(built));
  });
  error = errno;
  if (result == 0) {
    if (child != nullptr) *child = started;
    std::uint64_t fork = note_spawn(api, started, caller);
    process.count(&record::Counters::execs);
    if (target != record::NotObserved::kObserved && started != 0)
      note_unobserved(started, fork, path, target);
  } else {
    note_spawn_failed(api, result);
  }
  errno = error;
  return result;
}

}  // namespace

FORKSCOPE_EXPORT int posix_spawn(pid_t* __restrict child, const char* __restrict path,
                                 const posix_spawn_file_actions_t* __restrict actions,
                                 const posix_spawnattr_t* __restrict attributes,
                                 char* const arguments[], char* const variables[]) {
  return do_spawn(record::Api::kPosixSpawn, path, variables, child, __builtin_return_address(0),
                  [&](pid_t* started, char** built) {
                    return real().posix_spawn(started, path, actions, attributes, arguments, built);
                  });
}

FORKSCOPE_EXPORT int posix_spawnp(pid_t* __restrict child, const char* __restrict file,
                                  const posix_spawn_file_actions_t* __restrict actions,
                                  const posix_spawnattr_t* __restrict attributes,
                                  char* const arguments[], char* const variables[]) {
  char buffer[4096];
  return do_spawn(
      record::Api::kPosixSpawnp, resolve_in_path(file, search_path(), buffer, sizeof buffer),
      variables, child, __builtin_return_address(0), [&](pid_t* started, char** built) {
        return real().posix_spawnp(started, file, actions, attributes, arguments, built);
      });
}

#if FORKSCOPE_HAVE_PIDFD_SPAWN
// Only where the libc this library is built for has them: programs ask dlsym for these names and
// would take what cannot work for what can. Whose pid the descriptor is for is not looked up.

FORKSCOPE_EXPORT int pidfd_spawn(int* __restrict pidfd, const char* __restrict path,
                                 const posix_spawn_file_actions_t* __restrict actions,
                                 const posix_spawnattr_t* __restrict attributes,
                                 char* const arguments[], char* const variables[]) {
  return do_spawn(record::Api::kPidfdSpawn, path, variables, nullptr, __builtin_return_address(0),
                  [&](pid_t*, char** built) {
                    return real().pidfd_spawn(pidfd, path, actions, attributes, arguments, built);
                  });
}

FORKSCOPE_EXPORT int pidfd_spawnp(int* __restrict pidfd, const char* __restrict file,
                                  const posix_spawn_file_actions_t* __restrict actions,
                                  const posix_spawnattr_t* __restrict attributes,
                                  char* const arguments[], char* const variables[]) {
  char buffer[4096];
  return do_spawn(record::Api::kPidfdSpawnp,
                  resolve_in_path(file, search_path(), buffer, sizeof buffer), variables, nullptr,
                  __builtin_return_address(0), [&](pid_t*, char** built) {
                    return real().pidfd_spawnp(pidfd, file, actions, attributes, arguments, built);
                  });
}
#endif
