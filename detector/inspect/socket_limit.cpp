#include "detector/inspect/socket_limit.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <string_view>

#include "detector/inspect/unique_fd.hpp"

namespace forkscope {
namespace {

struct SocketCall {
  long number;
  const char* name;
  int limit;
};

constexpr SocketCall kCalls[] = {
    {SYS_accept, "accept", SO_RCVTIMEO},     {SYS_accept4, "accept4", SO_RCVTIMEO},
    {SYS_recvfrom, "recvfrom", SO_RCVTIMEO}, {SYS_recvmsg, "recvmsg", SO_RCVTIMEO},
    {SYS_recvmmsg, "recvmmsg", SO_RCVTIMEO}, {SYS_read, "read", SO_RCVTIMEO},
    {SYS_readv, "readv", SO_RCVTIMEO},       {SYS_connect, "connect", SO_SNDTIMEO},
    {SYS_sendto, "sendto", SO_SNDTIMEO},     {SYS_sendmsg, "sendmsg", SO_SNDTIMEO},
    {SYS_sendmmsg, "sendmmsg", SO_SNDTIMEO}, {SYS_write, "write", SO_SNDTIMEO},
    {SYS_writev, "writev", SO_SNDTIMEO}};

bool is_socket(pid_t pid, int descriptor) {
  char target[64];
  const ssize_t size =
      readlink(fmt::format("/proc/{}/fd/{}", pid, descriptor).c_str(), target, sizeof target);
  return size > 0 &&
         std::string_view(target, static_cast<std::size_t>(size)).starts_with("socket:");
}

}  // namespace

SocketLimit socket_limit(pid_t pid, const SystemCall& call, const char*& name) {
  const SocketCall* known = nullptr;
  for (const SocketCall& candidate : kCalls)
    if (candidate.number == call.number) known = &candidate;
  const int descriptor = static_cast<int>(call.arguments[0]);
  if (known == nullptr || !is_socket(pid, descriptor)) return SocketLimit::kNone;
  name = known->name;
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const UniqueFd copy(
      process ? static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), descriptor, 0)) : -1);
  timeval limit{};
  socklen_t size = sizeof limit;
  if (!copy || getsockopt(copy.get(), SOL_SOCKET, known->limit, &limit, &size) != 0)
    return SocketLimit::kUnknown;
  return limit.tv_sec != 0 || limit.tv_usec != 0 ? SocketLimit::kLimited : SocketLimit::kNone;
}

}  // namespace forkscope
