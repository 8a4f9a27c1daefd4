#include "scenarios/runner/new_scenario.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "scenarios/support/descriptor.hpp"

namespace forkscope::scenario {
namespace fs = std::filesystem;
namespace {

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

}  // namespace

std::string source_name(const std::string& scenario) {
  const bool letters = std::all_of(scenario.begin(), scenario.end(), [](char each) {
    return (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9') || each == '-';
  });
  if (!letters || scenario.empty() || scenario.front() == '-' || scenario.back() == '-')
    throw std::runtime_error(fmt::format(
        "'{}' is no name of a scenario: lower-case words with hyphens between them", scenario));
  std::string name = scenario;
  std::replace(name.begin(), name.end(), '-', '_');
  return name + ".cpp";
}

std::string new_scenario(const std::string& scenario) {
  std::string text = kTemplate;
  replace_all(text, "@SOURCE@", source_name(scenario));
  replace_all(text, "@NAME@", scenario);
  return text;
}

fs::path write_new_scenario(const fs::path& folder, const std::string& scenario) {
  const std::string text = new_scenario(scenario);
  const fs::path path = folder / source_name(scenario);
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) throw_errno("cannot create " + path.string());
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw_errno("cannot write " + path.string());
  return path;
}

}  // namespace forkscope::scenario
