#include "detector/inspect/small_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "detector/inspect/unique_fd.hpp"

namespace forkscope {

std::string read_small_file(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t size = fd ? read(fd.get(), text, sizeof text) : -1;
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

}  // namespace forkscope
