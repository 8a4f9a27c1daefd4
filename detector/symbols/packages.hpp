// Which distribution of Python's an installed file belongs to, read from its metadata beside it:
// nothing is imported, nothing is run. https://packaging.python.org/en/latest/specifications/
// recording-installed-packages/
//
// Thread-safe: what was read is kept behind a mutex, for a folder may hold hundreds of packages.
#pragma once

#include <string>
#include <vector>

namespace forkscope {

/// "polars 1.9.0" of ".../site-packages/polars/frame.py" or of a .so there. Where no metadata names
/// the file: the folder under site-packages. Empty for a file that lies in no such folder.
std::string package_of(const std::string& file);

/// package_of() of the first file that has one.
std::string first_package_of(const std::vector<std::string>& files);

}  // namespace forkscope
