#include "scenarios/support/program.hpp"

#include <sys/resource.h>

#include <charconv>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace forkscope::scenario {
namespace {

/// The value of `--name=value`, if that is what the argument is.
std::optional<std::string_view> value_of(std::string_view argument, std::string_view name) {
  if (!argument.starts_with(name)) return std::nullopt;
  argument.remove_prefix(name.size());
  if (!argument.starts_with('=')) return std::nullopt;
  return argument.substr(1);
}

std::optional<int> number_of(std::string_view text, int least) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least)
    return std::nullopt;
  return number;
}

void print_usage(std::FILE* to, const Description& description) {
  std::fprintf(to,
               "%s: %s\n"
               "usage: %s [--method=M] [--workers=N] [--patience=MS] [--examine=COMMAND]\n"
               "       %s --describe | --help\n"
               "methods:\n",
               description.name.c_str(), description.title.c_str(), description.name.c_str(),
               description.name.c_str());
  for (const Method& method : description.methods)
    std::fprintf(to, "  %-22s %s\n", method.name.c_str(), method.note.c_str());
  std::fputs(
      "exit status: 0 all workers done, 3 a worker hung, 4 a worker ended early, 1 error, 2 "
      "usage, 77 skipped\n",
      to);
}

int usage_error(const Description& description, const std::string& what) {
  std::fprintf(stderr, "%s: %s; see %s --help\n", description.name.c_str(), what.c_str(),
               description.name.c_str());
  return kUsage;
}

int run(int argc, char** argv, const Description& description, const Program& program) {
  Options options;
  options.method = description.methods.front().name;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--describe") {
      std::fputs(to_json(description).c_str(), stdout);
      return kAllDone;
    }
    if (argument == "--help") {
      print_usage(stdout, description);
      return kAllDone;
    }
    if (const auto method = value_of(argument, "--method")) {
      options.method = *method;
    } else if (const auto command = value_of(argument, "--examine")) {
      examine_hung_workers(std::string(*command));
    } else if (const auto text = value_of(argument, "--patience")) {
      const auto number = number_of(*text, 1);
      if (!number) return usage_error(description, "--patience takes milliseconds from 1 up");
      options.patience = std::chrono::milliseconds(*number);
    } else if (const auto count = value_of(argument, "--workers")) {
      const auto number = number_of(*count, 1);
      if (!number) return usage_error(description, "--workers takes a number from 1 up");
      options.workers = *number;
    } else if (const auto descriptor = value_of(argument, "--worker")) {
      const auto number = number_of(*descriptor, 0);
      if (!number || i + 2 != argc)
        return usage_error(description, "--worker takes a descriptor and one argument");
      serve(*number, [&] { return program.fresh_worker(argv[i + 1]); });
    } else {
      return usage_error(description, "unknown argument '" + std::string(argument) + "'");
    }
  }
  if (!find_method(description, options.method))
    return usage_error(description, "no method '" + options.method + "'");
  return program.parent(options);
}

}  // namespace

Program one_by_one(const std::function<Worker(const std::string& method)>& start,
                   const std::function<std::int64_t()>& fresh_worker) {
  const auto parent = [start](const Options& options) -> int {
    for (int number = 1; number <= options.workers; ++number)
      if (const int status = follow(start(options.method), number, options.patience, 0);
          status != kAllDone)
        return status;
    return kAllDone;
  };
  return {parent, [fresh_worker](const std::string&) { return fresh_worker(); }};
}

int run_program(int argc, char** argv, const Description& description, const Program& program) {
  // Line by line also into a pipe, and nothing left in the buffer that a fork would copy.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  // A worker that is meant to die leaves no core file behind.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  try {
    return run(argc, argv, description, program);
  } catch (const Skipped& reason) {
    std::printf("skipped: %s\n", reason.what());
    return kSkipped;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", description.name.c_str(), error.what());
    return kError;
  }
}

}  // namespace forkscope::scenario
