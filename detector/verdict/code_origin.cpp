#include "detector/verdict/code_origin.hpp"

#include <string_view>

#include "detector/record/module_kind.hpp"

namespace forkscope {
namespace {

bool holds(const std::string& path, std::string_view part) {
  return path.find(part) != std::string::npos;
}

bool in_python_packages(const std::string& path) {
  return holds(path, "/site-packages/") || holds(path, "/dist-packages/");
}

/// /usr/lib/x86_64-linux-gnu/libssl.so.3, /lib64/libz.so.1; not /usr/lib/postgresql/15/bin/postgres.
bool in_system_library_folder(const std::string& path) {
  if (!holds(path, ".so")) return false;
  for (const std::string_view folder : {"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"})
    if (path.starts_with(folder)) return true;
  return false;
}

}  // namespace

Origin python_origin(const std::string& file) {
  if (in_python_packages(file)) return Origin::kInstalled;
  if (file.starts_with("<frozen ")) return Origin::kStandard;
  if (holds(file, "/lib/python3") || holds(file, "/lib64/python3")) return Origin::kStandard;
  return Origin::kOwn;
}

Origin code_origin(const Frame& frame) {
  if (frame.module.empty() || frame.module.front() == '[') return Origin::kStandard;  // [vdso]
  if (is_runtime_module(frame.module) || module_kind(frame.module) == ModuleKind::kPython)
    return Origin::kStandard;
  if (is_library(frame.module, "libforkscope") || is_library_internal(frame))
    return Origin::kStandard;
  if (in_python_packages(frame.module) || in_system_library_folder(frame.module))
    return Origin::kInstalled;
  // A module of the standard library that is built on its own: lib-dynload/_ssl.so.
  return python_origin(frame.module);
}

bool is_library_internal(const Frame& frame) {
  // /usr/include/c++/12, and /usr/include/x86_64-linux-gnu/c++/12 for what depends on the machine
  if (holds(frame.file, "/include/") && holds(frame.file, "/c++/")) return true;
  return frame.file.empty() && is_cxx_runtime(frame.module);
}

}  // namespace forkscope
