// wait, waitpid, wait3, wait4, waitid: how a child ended, where its parent asks. Without these a
// child that died of a signal would only be "gone".
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

pid_t note_status(pid_t child, int status) {
  if (child > 0 && (WIFEXITED(status) || WIFSIGNALED(status)) &&
      !(process.arena.crowded() && status == 0))
    process.append(record::Type::kChildStatus, record::ChildStatus{child, status});
  return child;
}

}  // namespace

FORKSCOPE_EXPORT pid_t wait(int* status) {
  int own = 0;
  pid_t child = real().wait(&own);
  if (child > 0 && status != nullptr) *status = own;
  return note_status(child, own);
}

FORKSCOPE_EXPORT pid_t waitpid(pid_t which, int* status, int options) {
  int own = 0;
  pid_t child = real().waitpid(which, &own, options);
  if (child > 0 && status != nullptr) *status = own;
  return note_status(child, own);
}

FORKSCOPE_EXPORT pid_t wait3(int* status, int options, rusage* usage) noexcept {
  int own = 0;
  pid_t child = real().wait3(&own, options, usage);
  if (child > 0 && status != nullptr) *status = own;
  return note_status(child, own);
}

FORKSCOPE_EXPORT pid_t wait4(pid_t which, int* status, int options, rusage* usage) noexcept {
  int own = 0;
  pid_t child = real().wait4(which, &own, options, usage);
  if (child > 0 && status != nullptr) *status = own;
  return note_status(child, own);
}

FORKSCOPE_EXPORT int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  siginfo_t own{};
  int result = real().waitid(type, id, info != nullptr ? info : &own, options);
  const siginfo_t& seen = info != nullptr ? *info : own;
  if (result == 0 && seen.si_pid > 0 && (options & WNOWAIT) == 0) {
    if (seen.si_code == CLD_EXITED)
      note_status(seen.si_pid, (seen.si_status & 0xff) << 8);
    else if (seen.si_code == CLD_KILLED || seen.si_code == CLD_DUMPED)
      note_status(seen.si_pid, seen.si_status & 0x7f);
  }
  return result;
}
