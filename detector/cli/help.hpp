// Usage lines, examples and common options of the subcommands, on top of CLI11. Not thread-safe.
#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "detector/cli/output.hpp"

namespace forkscope::cli {

/// Gives `command` a usage line (without "Usage: ") and a text after its options.
void use_help(CLI::App& command, const std::string& usage, const std::string& footer);

/// --colour=auto|always|never; `colour` must outlive `command`.
void add_colour_option(CLI::App& command, Colour& colour);

/// --timeout=T, a duration; `timeout` must outlive `command`.
void add_timeout_option(CLI::App& command, std::optional<std::chrono::nanoseconds>& timeout,
                        const std::string& description);

}  // namespace forkscope::cli
