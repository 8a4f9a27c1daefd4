#include "detector/cli/command_split.hpp"

namespace forkscope::cli {
namespace {

/// Whether the word after `argument` is its value.
bool takes_next(const CLI::App& app, const std::string& argument) {
  if (argument.starts_with("--") && argument.find('=') != std::string::npos) return false;
  const CLI::Option* option = app.get_option_no_throw(argument);
  return option != nullptr && option->get_items_expected_min() > 0;
}

}  // namespace

SplitCommand split_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  SplitCommand split;
  auto at = arguments.begin();
  for (; at != arguments.end(); ++at) {
    if (*at == "--") {
      ++at;
      break;
    }
    if (at->size() < 2 || at->front() != '-') break;
    split.options.push_back(*at);
    if (takes_next(app, *at) && std::next(at) != arguments.end()) split.options.push_back(*++at);
  }
  split.command.assign(at, arguments.end());
  return split;
}

}  // namespace forkscope::cli
