// Whose code a frame is: the user's own, an installed library's, or that of the language's runtime.
// Judged by where installations put files, for nothing else tells. Pure functions; thread-safe.
#pragma once

#include <string>

#include "detector/verdict/report.hpp"

namespace forkscope {

enum class Origin { kOwn, kInstalled, kStandard };

/// Of a Python file: the folders of sysconfig's "purelib" and "stdlib".
Origin python_origin(const std::string& file);

/// Of machine code: libc, the loader, the C++ library and Python itself are kStandard, libraries in
/// a system's or a Python environment's folder kInstalled. Code of no known file is kStandard.
Origin code_origin(const Frame& frame);

/// Inside a standard library template or function: how a container or lock works, not where.
bool is_library_internal(const Frame& frame);

}  // namespace forkscope
