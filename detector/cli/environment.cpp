#include "detector/cli/environment.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>

#include "detector/cli/failure.hpp"
#include "detector/record/options.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kPreload = "LD_PRELOAD";
constexpr const char* kOptions = "FORKSCOPE_OPTIONS";

std::string own_value(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_assignment_to(std::string_view entry, std::string_view name) {
  return entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=';
}

/// The user's part, before ours is added. A mistake in it stops the library, too.
void check_options(const std::string& text) {
  auto options = std::make_unique<Options>();
  auto error = std::make_unique<OptionError>();
  if (!parse_options(text.c_str(), *options, *error))
    throw Failure(fmt::format("in the environment variable {}: {}; correct or unset it", kOptions,
                              error->message));
}

/// Of valid options, of which the later one wins.
OnDeadlock action_in(const std::string& text) {
  auto options = std::make_unique<Options>();
  auto error = std::make_unique<OptionError>();
  parse_options(text.c_str(), *options, *error);
  return options->on_deadlock;
}

/// Whether the library will read from `text` what we mean.
bool names_session(const std::string& text, const std::string& session) {
  auto options = std::make_unique<Options>();
  auto error = std::make_unique<OptionError>();
  return parse_options(text.c_str(), *options, *error) && session == options->session;
}

}  // namespace

std::string preload_library() {
  std::error_code error;
  std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error)
    throw Failure("cannot read /proc/self/exe to find libforkscope.so: " + error.message() +
                  "; is /proc mounted?");
  std::filesystem::path wanted =
      (self.parent_path() / FORKSCOPE_PRELOAD_RELATIVE / "libforkscope.so").lexically_normal();
  std::string library = std::filesystem::canonical(wanted, error).string();
  if (error)
    throw Failure(
        fmt::format("the preload library {} is missing: {}; build or install forkscope as "
                    "a whole",
                    wanted.string(), error.message()));
  if (access(library.c_str(), R_OK) != 0)
    throw Failure(fmt::format("the preload library {} cannot be read: {}; make it readable",
                              library, error_text(errno)));
  // ld.so(8): the elements of LD_PRELOAD are separated by spaces or colons, without escape.
  if (library.find_first_of(" :") != std::string::npos)
    throw Failure(
        fmt::format("the preload library's path {} has a space or a colon in it, which "
                    "LD_PRELOAD cannot carry; install forkscope elsewhere",
                    library));
  return library;
}

std::string escape_option(const std::string& value) {
  std::string escaped;
  for (char c : value) {
    if (c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::vector<std::string> program_environment(const std::string& library, const std::string& session,
                                             const std::string& on_deadlock, bool unsafe_calls,
                                             bool check_descriptors, const std::string& more) {
  std::string preload = own_value(kPreload);
  preload = preload.empty() ? library : library + ":" + preload;
  std::string options = own_value(kOptions);
  check_options(options);
  if (!options.empty()) options += ':';
  options += "session=" + escape_option(session);
  if (!on_deadlock.empty()) options += ":on_deadlock=" + escape_option(on_deadlock);
  options += ":log=none";
  if (!unsafe_calls) options += ":unsafe_calls=off";
  if (check_descriptors) options += ":check=descriptors";
  options += more;
  if (!names_session(options, session))
    throw Failure(
        fmt::format("the path of the session folder {} is too long; give a shorter one with "
                    "--session=DIR",
                    session));

  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!is_assignment_to(*entry, kPreload) && !is_assignment_to(*entry, kOptions))
      environment.emplace_back(*entry);
  environment.push_back(fmt::format("{}={}", kPreload, preload));
  environment.push_back(fmt::format("{}={}", kOptions, options));
  return environment;
}

OnDeadlock on_deadlock_action(const std::string& on_deadlock) {
  std::string text = own_value(kOptions);
  check_options(text);
  if (!on_deadlock.empty()) text += ":on_deadlock=" + escape_option(on_deadlock);
  return action_in(text);
}

bool environment_has_on_deadlock() {
  const std::string text = own_value(kOptions);
  check_options(text);
  return action_in("on_deadlock=kill:" + text) == action_in("on_deadlock=abort:" + text);
}

std::string on_deadlock_error(const std::string& value) {
  auto options = std::make_unique<Options>();
  auto error = std::make_unique<OptionError>();
  std::string text = "on_deadlock=" + escape_option(value);
  return parse_options(text.c_str(), *options, *error) ? "" : error->message;
}

}  // namespace forkscope::cli
