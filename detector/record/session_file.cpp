// Reads a session folder into memory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "detector/record/session.hpp"

namespace forkscope {
namespace {

class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw std::runtime_error("cannot read the session's records " + path + ": " + reason);
}

std::string open_failure(int error, const std::string& directory) {
  if (error == ENOENT || error == ENOTDIR) {
    return std::string(std::strerror(error)) + "; name a folder that `forkscope run --session=" +
           (directory.empty() ? "DIR" : directory) + "` has written";
  }
  if (error == EACCES) return "permission denied; read it as the user who ran the program";
  return std::strerror(error);
}

}  // namespace

Session read_session(const std::string& directory) {
  const std::string path = directory + "/" + record::kArenaFileName;
  const File file(path);
  if (file.fd() < 0) fail(path, open_failure(errno, directory));

  struct stat status {};
  if (::fstat(file.fd(), &status) != 0) fail(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(path, "it is no regular file; name a folder of forkscope run");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > record::kArenaMaxSize) {
    fail(path,
         "it is larger than any session can be; name a folder that forkscope run has written");
  }

  std::vector<std::byte> arena(size);
  std::size_t filled = 0;
  while (filled < arena.size()) {
    const ssize_t got = ::read(file.fd(), arena.data() + filled, arena.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, std::strerror(errno));
    if (got == 0) break;  // truncated since fstat
    filled += static_cast<std::size_t>(got);
  }
  arena.resize(filled);
  try {
    return parse_session(arena);
  } catch (const std::runtime_error& error) {
    fail(path, error.what());
  }
}

}  // namespace forkscope
