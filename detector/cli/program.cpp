#include "detector/cli/program.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "detector/inspect/unique_fd.hpp"
#include "detector/tracker/exec_target.hpp"

namespace forkscope::cli {
namespace {

/// 0 when `path` is a file that may be executed, else errno.
int executable_error(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (!S_ISREG(status.st_mode)) return EACCES;
  return faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

Failure not_found(const std::string& name) {
  if (name.empty())
    return Failure("the command is an empty word; give a program to run", kNotFound);
  if (name.find('/') != std::string::npos)
    return Failure(fmt::format("{}: no such file; check the path", name), kNotFound);
  return Failure(
      fmt::format("{}: command not found; check the spelling and PATH, or give its path", name),
      kNotFound);
}

Failure not_executable(const std::string& path, int error) {
  if (error == EISDIR)
    return Failure(fmt::format("{} is a directory; give a program to run", path), kCannotExecute);
  if (error == EACCES)
    return Failure(
        fmt::format("{} may not be executed: permission denied; check its mode (chmod +x) "
                    "and the folders above it",
                    path),
        kCannotExecute);
  return Failure(fmt::format("{} cannot be executed: {}", path, error_text(error)), kCannotExecute);
}

/// The line after "#!", up to the first blank, as the kernel takes it (fs/binfmt_script.c).
std::string script_interpreter(std::string_view head) {
  if (!head.starts_with("#!")) return {};
  std::string_view line = head.substr(2, head.find('\n') - 2);
  std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  line.remove_prefix(begin);
  return std::string(line.substr(0, line.find_first_of(" \t\r")));
}

std::string elf_interpreter(int fd) {
  Elf64_Ehdr header;
  if (pread(fd, &header, sizeof header, 0) != ssize_t(sizeof header)) return {};
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) return {};
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    off_t at = static_cast<off_t>(header.e_phoff + std::size_t(i) * sizeof segment);
    if (pread(fd, &segment, sizeof segment, at) != ssize_t(sizeof segment)) return {};
    if (segment.p_type != PT_INTERP) continue;
    char path[4096] = "";
    std::size_t size = std::min<std::size_t>(segment.p_filesz, sizeof path - 1);
    ssize_t got = pread(fd, path, size, static_cast<off_t>(segment.p_offset));
    return got <= 0 ? std::string() : std::string(path);
  }
  return {};
}

}  // namespace

std::string find_program(const std::string& name) {
  if (name.empty()) throw not_found(name);
  if (name.find('/') != std::string::npos) {
    int error = executable_error(name);
    if (error == ENOENT || error == ENOTDIR) throw not_found(name);
    if (error != 0) throw not_executable(name, error);
    return name;
  }
  const char* set = std::getenv("PATH");
  std::string_view folders = set == nullptr ? "/bin:/usr/bin" : set;  // execvp(3)'s default
  std::string unusable;
  while (true) {
    std::size_t colon = folders.find(':');
    std::string_view folder = folders.substr(0, colon);
    std::string path = folder.empty() ? "./" + name : fmt::format("{}/{}", folder, name);
    int error = executable_error(path);
    if (error == 0) return path;
    if (error == EACCES && unusable.empty() && access(path.c_str(), F_OK) == 0) unusable = path;
    if (colon == std::string_view::npos) break;
    folders.remove_prefix(colon + 1);
  }
  if (!unusable.empty()) throw not_executable(unusable, EACCES);
  throw not_found(name);
}

void refuse_unobservable(const std::string& path) {
  using record::NotObserved;
  std::string script = interpreter_of(path);
  switch (exec_target(path.c_str())) {
    case NotObserved::kObserved:
    case NotObserved::kUnreachable:  // of the file these are not known
    case NotObserved::kConfined:
    case NotObserved::kUnreadable:  // the loader may well take the library: it runs, and we shall
                                    // see
      return;
    case NotObserved::kStatic:
      throw Failure(
          fmt::format("{} is statically linked, so the preload library cannot go along; "
                      "link it dynamically",
                      path));
    case NotObserved::kSetuid:
      throw Failure(
          fmt::format("{} runs with the rights of another user (setuid, setgid or file "
                      "capabilities), so the loader ignores preload libraries; start "
                      "forkscope inside it, as in `sudo forkscope run ...`",
                      path));
    case NotObserved::kForeignLibc:
      throw Failure(
          fmt::format("{} uses another C library than glibc{}, and the preload library needs "
                      "glibc; build it for glibc",
                      path, script.empty() ? "" : " (" + script + ")"));
    case NotObserved::kOtherClass:
      throw Failure(
          fmt::format("{} is built for another architecture or word size than "
                      "libforkscope.so; build it for x86-64",
                      path));
  }
}

Failure exec_failure(const std::string& path, int error) {
  if (error == ENOENT) {
    // find_program() saw the file, so it is what the kernel needs beside it that is missing.
    std::string interpreter = interpreter_of(path);
    if (!interpreter.empty() && access(interpreter.c_str(), F_OK) != 0)
      return Failure(fmt::format("{} needs the interpreter {}, which does not exist; install it or "
                                 "correct the {}",
                                 path, interpreter, "first line (#!) or the binary's PT_INTERP"),
                     kNotFound);
    return not_found(path);
  }
  if (error == ENOEXEC)
    return Failure(fmt::format("{} is no program the kernel can run and has no #! line; if it is a "
                               "shell script, run `sh {}`",
                               path, path),
                   kCannotExecute);
  if (error == E2BIG)
    return Failure("the arguments and the environment are too long; shorten them", kCannotExecute);
  if (error == EAGAIN || error == ENOMEM)
    return Failure(fmt::format("cannot start {}: {}", path, error_text(error)));
  return not_executable(path, error);
}

std::string interpreter_of(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return {};
  char head[256];  // BINPRM_BUF_SIZE: the kernel looks no further
  ssize_t size = pread(fd.get(), head, sizeof head, 0);
  if (size <= 0) return {};
  std::string script = script_interpreter({head, static_cast<std::size_t>(size)});
  return script.empty() ? elf_interpreter(fd.get()) : script;
}

}  // namespace forkscope::cli
