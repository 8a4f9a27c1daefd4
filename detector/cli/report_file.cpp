#include "detector/cli/report_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "detector/cli/failure.hpp"
#include "detector/cli/output.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope::cli {
namespace {

constexpr std::size_t kMostOfPath = 200;

Failure unwritable(const std::string& option, const std::string& path, int error) {
  return Failure(fmt::format("cannot write {}: {}; give another file with {}=FILE",
                             bounded(path, kMostOfPath), error_text(error), option));
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

}  // namespace

ReportFile::ReportFile(const std::string& path, const std::string& option)
    : path_(path), option_(option) {
  if (path == "-")
    throw Failure(fmt::format("{0} writes a file, and - is none here; give its name with {0}=FILE",
                              option));
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
    const int error = fd ? write_all(fd.get(), text) : errno;
    if (error != 0) throw unwritable(option_, path_, error);
    return;
  }
  std::string temporary = template_beside(path_);
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) throw unwritable(option_, path_, errno);
  int error = write_all(fd.get(), text);
  if (error == 0 && (fchmod(fd.get(), mode_for(path_)) != 0 ||
                     rename(temporary.c_str(), path_.c_str()) != 0))
    error = errno;
  if (error != 0) {
    unlink(temporary.c_str());
    throw unwritable(option_, path_, error);
  }
}

}  // namespace forkscope::cli
