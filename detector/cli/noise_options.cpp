#include "detector/cli/noise_options.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "detector/cli/failure.hpp"
#include "detector/cli/output.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/verdict/baseline.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope::cli {
namespace {

std::string read_file(const std::string& path, const char* option, const char* cure) {
  const auto refuse = [&](int error) -> Failure {
    return Failure(
        fmt::format("cannot read {} ({}): {}; {}", path, option, error_text(error), cure));
  };
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) throw refuse(errno);
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) throw refuse(errno);
    if (size == 0) return std::string(without_byte_order_mark(text));
    text.append(buffer, static_cast<std::size_t>(size));
  }
}

/// The message of a wrong line, as a failure of ours.
template <typename Parse>
auto parsed(Parse&& parse) {
  try {
    return parse();
  } catch (const std::runtime_error& error) {
    throw Failure(error.what());
  }
}

}  // namespace

void add_suppressions_option(CLI::App& command, NoiseOptions& options) {
  command
      .add_option("--suppressions", options.suppressions,
                  "Leave out findings that a line kind:pattern of this file matches: by the lock, "
                  "its module, or a function of any stack; may be given several times")
      ->type_name("FILE")
      ->type_size(1)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_noise_options(CLI::App& command, NoiseOptions& options) {
  add_suppressions_option(command, options);
  command
      .add_option("--baseline", options.baseline,
                  "Accept the findings in this file, and fail on new ones: on deadlocks and latent "
                  "ones where nothing else is asked for")
      ->type_name("FILE");
  command
      .add_option("--write-baseline", options.write_baseline,
                  "Write the findings into this file, for --baseline; with --baseline, beside "
                  "those that it has")
      ->type_name("FILE");
}

NoiseFilter::NoiseFilter(const NoiseOptions& options) : baseline_file_(options.baseline) {
  for (const std::string& file : options.suppressions) {
    const std::string text =
        read_file(file, "--suppressions", "give a file of lines kind:pattern");
    for (SuppressionRule& rule : parsed([&] { return parse_suppressions(text, file); }))
      rules_.push_back(std::move(rule));
  }
  if (!baseline_file_.empty()) {
    const std::string text =
        read_file(baseline_file_, "--baseline", "write it first with --write-baseline=FILE");
    baseline_ = parsed([&] { return parse_baseline(text, baseline_file_); });
  }
  if (!options.write_baseline.empty())
    written_.emplace(options.write_baseline, "--write-baseline");
}

void NoiseFilter::compare(Report& report) const {
  if (!baseline_file_.empty()) compare_with_baseline(report, baseline_, baseline_file_);
}

void NoiseFilter::write(const Report& report) const {
  if (written_) written_->write(baseline_text(report, baseline_));
}

FailOn NoiseFilter::fail_on(const FailOn& asked) const {
  return asked.empty() && !baseline_file_.empty() ? and_graver(Gravity::kLatent) : asked;
}

}  // namespace forkscope::cli
