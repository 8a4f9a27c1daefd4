// `forkscope scenario new NAME`: a scenario to begin with, that builds and hangs as it says.
#pragma once

#include <filesystem>
#include <string>

namespace forkscope::scenario {

/// The text of template/scenario.cpp.in, from which tests build a program too.
extern const char* const kTemplate;

/// "my-lock" -> "my_lock.cpp". Throws std::runtime_error when the name is none: lower-case words
/// with hyphens between them.
std::string source_name(const std::string& scenario);

/// The template for a scenario of this name.
std::string new_scenario(const std::string& scenario);

/// Writes it into the folder and gives its path; never over a file that is there.
std::filesystem::path write_new_scenario(const std::filesystem::path& folder,
                                         const std::string& scenario);

}  // namespace forkscope::scenario
