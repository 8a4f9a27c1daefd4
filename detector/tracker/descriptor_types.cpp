#include "detector/tracker/descriptor_types.hpp"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>

#include "detector/tracker/file_locks.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::descriptor_types {

namespace {

using record::DescriptorType;
using record::SharedDescriptor;

int socket_option(int descriptor, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  long failed =
      sys::call(SYS_getsockopt, descriptor, SOL_SOCKET, option, sys::arg(&value), sys::arg(&size));
  return failed < 0 ? 0 : value;
}

void describe_socket(SharedDescriptor& one) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (sys::call(SYS_getpeername, one.descriptor, sys::arg(&peer), sys::arg(&size)) == 0)
    one.traits |= record::kConnected;
  one.type = socket_option(one.descriptor, SO_ACCEPTCONN) != 0       ? DescriptorType::kListener
             : socket_option(one.descriptor, SO_TYPE) == SOCK_STREAM ? DescriptorType::kStream
                                                                     : DescriptorType::kMessages;
}

/// `folder` and the number, into `to`, which has room for ten digits more.
void put_path(char* to, const char* folder, int descriptor) {
  *sys::put_number(stpcpy(to, folder), std::uint32_t(descriptor)) = '\0';
}

/// The kernel's own files have no type in their mode, only a name: "anon_inode:[eventpoll]".
bool describe_anonymous(SharedDescriptor& one) {
  char link[40], name[40];
  put_path(link, "/proc/self/fd/", one.descriptor);
  long length =
      sys::call(SYS_readlinkat, AT_FDCWD, sys::arg(link), sys::arg(name), long(sizeof name - 1));
  name[length > 0 ? length : 0] = '\0';
  if (std::strcmp(name, "anon_inode:[eventpoll]") == 0)
    one.type = DescriptorType::kEpoll;
  else if (std::strcmp(name, "anon_inode:inotify") == 0)
    one.type = DescriptorType::kInotify;
  else if (std::strcmp(name, "anon_inode:[eventfd]") == 0)
    one.type = DescriptorType::kEventfd;
  else
    return false;
  return true;
}

}  // namespace

/// fs/eventfd.c, eventfd_show_fdinfo: "eventfd-semaphore: 1".
std::uint8_t semaphore_traits(int descriptor) {
  char path[40], text[256];
  put_path(path, "/proc/self/fdinfo/", descriptor);
  long file = sys::openat(path, O_RDONLY);
  if (file < 0) return 0;
  long size = sys::pread(int(file), text, sizeof text - 1, 0);
  sys::close(int(file));
  text[size > 0 ? size : 0] = '\0';
  const char* word = "eventfd-semaphore: ";
  const char* found = std::strstr(text, word);
  if (found == nullptr) return 0;
  return found[std::strlen(word)] == '0' ? record::kNoSemaphore : record::kSemaphore;
}

bool describe(int descriptor, SharedDescriptor& one) {
  struct stat info {};
  if (descriptor > record::kMaxSharedDescriptor ||
      sys::call(SYS_fstat, descriptor, sys::arg(&info)) < 0)
    return false;
  one.descriptor = descriptor;
  one.device = info.st_dev;
  one.inode = info.st_ino;
  long flags = sys::call(SYS_fcntl, descriptor, F_GETFL);
  long mode = flags < 0 ? O_RDWR : flags & O_ACCMODE;
  one.readable = mode != O_WRONLY;
  one.writable = mode != O_RDONLY;
  switch (info.st_mode & S_IFMT) {
    case S_IFIFO:
      one.type = DescriptorType::kPipe;
      return true;
    case S_IFSOCK:
      describe_socket(one);
      return true;
    case S_IFREG:
      one.type = DescriptorType::kLockedFile;
      return flock_taken_by(descriptor);
    case 0:
      return describe_anonymous(one);
    default:
      return false;
  }
}

}  // namespace forkscope::descriptor_types
