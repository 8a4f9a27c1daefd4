#include "detector/cli/report_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "detector/cli/failure.hpp"
#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {
namespace {

Failure unwritable(const std::string& option, const std::string& path, int error) {
  return Failure(fmt::format("cannot write {}: {}; give another file with {}=FILE", path,
                             error_text(error), option));
}

std::string template_beside(const std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  return fmt::format("{}.forkscope-XXXXXX", folder);
}

/// What open(2) with O_CREAT would give a new file, or what the file has already.
mode_t mode_for(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) return status.st_mode & 07777;
  mode_t mask = umask(0);
  umask(mask);
  return 0666 & ~mask;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

ReportFile::ReportFile(const std::string& path, const std::string& option)
    : path_(path), option_(option) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) throw unwritable(option, path, EISDIR);
    if (faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0)
      throw unwritable(option, path, errno);
    replace_ = S_ISREG(status.st_mode);
    if (!replace_) return;
    if (char* resolved = realpath(path.c_str(), nullptr)) {
      path_ = resolved;
      std::free(resolved);
    }
  } else if (errno != ENOENT || path.empty() || path.back() == '/') {
    throw unwritable(option, path, errno);
  }
  std::string probe = template_beside(path_);
  UniqueFd fd(mkostemp(probe.data(), O_CLOEXEC));
  if (!fd) throw unwritable(option, path, errno);
  unlink(probe.c_str());
}

void ReportFile::write(std::string_view text) const {
  if (!replace_) {
    UniqueFd fd(open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!fd || !write_all(fd.get(), text)) throw unwritable(option_, path_, errno);
    return;
  }
  std::string temporary = template_beside(path_);
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) throw unwritable(option_, path_, errno);
  if (!write_all(fd.get(), text) || fchmod(fd.get(), mode_for(path_)) != 0 ||
      rename(temporary.c_str(), path_.c_str()) != 0) {
    int error = errno;
    unlink(temporary.c_str());
    throw unwritable(option_, path_, error);
  }
}

}  // namespace forkscope::cli
