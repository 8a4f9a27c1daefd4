#include "detector/tracker/exec_target.hpp"

#include <elf.h>
#include <sys/stat.h>

#include <cstring>

#include "detector/record/module_kind.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using record::NotObserved;

bool loader_of_glibc(const char* path) {
  return module_kind(path) == ModuleKind::kLoader && !is_musl(path);
}

/// Whether the kernel raises the process's rights: AT_SECURE, and the loader drops LD_PRELOAD.
bool raises_rights(int fd) {
  struct stat info {};
  if (sys::call(SYS_fstat, fd, sys::arg(&info)) < 0) return false;
  if ((info.st_mode & S_ISUID) != 0 && long(info.st_uid) != sys::call(SYS_getuid)) return true;
  constexpr unsigned kSetgid = S_ISGID | S_IXGRP;
  if ((info.st_mode & kSetgid) == kSetgid && long(info.st_gid) != sys::call(SYS_getgid))
    return true;
  char capability[64];
  return sys::call(SYS_getuid) != 0 && sys::call(SYS_fgetxattr, fd, sys::arg("security.capability"),
                                                 sys::arg(capability), sizeof capability) > 0;
}

NotObserved elf_target(int fd, const Elf64_Ehdr& header, const char* path) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
    return NotObserved::kOtherClass;
  for (unsigned i = 0; i < header.e_phnum && i < 128; ++i) {
    Elf64_Phdr segment;
    if (sys::pread(fd, &segment, sizeof segment, header.e_phoff + i * sizeof segment) !=
        long(sizeof segment))
      return NotObserved::kUnreadable;
    if (segment.p_type != PT_INTERP) continue;
    char interpreter[256] = {};
    std::size_t length =
        segment.p_filesz < sizeof interpreter - 1 ? segment.p_filesz : sizeof interpreter - 1;
    sys::pread(fd, interpreter, length, segment.p_offset);
    return loader_of_glibc(interpreter) ? NotObserved::kObserved : NotObserved::kForeignLibc;
  }
  // The loader itself, started as a program, has no interpreter and does honour LD_PRELOAD.
  return loader_of_glibc(path) ? NotObserved::kObserved : NotObserved::kStatic;
}

NotObserved target(const char* path, int scripts) {
  long opened = sys::openat(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  // Without descriptors to spare nothing is known of the file.
  if (opened < 0) return opened == -EACCES ? NotObserved::kUnreadable : NotObserved::kObserved;
  int fd = int(opened);
  alignas(Elf64_Ehdr) char head[256] = {};
  long size = sys::pread(fd, head, sizeof head - 1, 0);
  NotObserved answer = NotObserved::kObserved;
  if (size >= 4 && std::memcmp(head, ELFMAG, SELFMAG) == 0) {
    Elf64_Ehdr header;
    std::memcpy(&header, head, sizeof header);
    answer = raises_rights(fd) ? NotObserved::kSetuid : elf_target(fd, header, path);
    sys::close(fd);
    return answer;
  }
  sys::close(fd);
  if (size > 2 && head[0] == '#' && head[1] == '!' && scripts > 0) {  // Linux follows four
    char* interpreter = head + 2;
    interpreter += std::strspn(interpreter, " \t");
    interpreter[std::strcspn(interpreter, " \t\n")] = '\0';
    answer = target(interpreter, scripts - 1);
  }
  return answer;
}

bool executable(const char* path) {
  struct stat info {};
  return sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path), sys::arg(&info), 0) == 0 &&
         S_ISREG(info.st_mode) && sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path), 1) == 0;
}

}  // namespace

NotObserved exec_target(const char* path) { return target(path, 4); }

const char* resolve_in_path(const char* file, const char* search_path, char* buffer,
                            std::size_t size) {
  if (std::strchr(file, '/') != nullptr) return file;
  std::size_t name = std::strlen(file);
  for (const char* at = search_path != nullptr ? search_path : "/bin:/usr/bin";;) {
    std::size_t length = std::strcspn(at, ":");
    if (length + 1 + name + 1 <= size) {
      std::memcpy(buffer, at, length);
      if (length > 0) buffer[length++] = '/';  // an empty entry is the current directory
      std::memcpy(buffer + length, file, name + 1);
      if (executable(buffer)) return buffer;
    }
    at += std::strcspn(at, ":");
    if (*at == '\0') return file;
    ++at;
  }
}

}  // namespace forkscope
