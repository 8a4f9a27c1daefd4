#include "detector/cli/exposure_command.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <exception>
#include <memory>
#include <thread>

#include "detector/cli/duration.hpp"
#include "detector/cli/exposure_sampler.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/report/print_exposure.hpp"
#include "detector/symbols/symbols.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kUsage = "forkscope exposure [OPTIONS] (PID | [--] COMMAND [ARGUMENTS...])";

constexpr const char* kExamples = R"(Examples:
  forkscope exposure -- ./server --port 80
      runs the program as usual; at its end tells how often a fork would have orphaned which lock
  forkscope exposure --seconds 30 4711
      looks for half a minute at process 4711, which was started by `forkscope run` or
      `forkscope exposure`, or with LD_PRELOAD=libforkscope.so
  forkscope exposure --json - 4711 | jq .any
      the probability that any lock is orphaned, and its confidence interval

The process is neither stopped nor slowed down: its memory is read at random moments. A fork is
meant that another thread than the holder makes. Ctrl-C ends a look at a PID early, with what was
seen by then; on a terminal the table is shown while it grows.

Exit status:
  0    the question was answered; of a COMMAND: its own
  125  forkscope itself failed, there is no such process, or it runs without the library
  126  COMMAND cannot be executed
  127  COMMAND was not found)";

constexpr auto kDefaultTime = std::chrono::seconds(10);
constexpr auto kBetweenRedraws = std::chrono::milliseconds(400);

/// Ctrl-C and its like as a descriptor, so that what was seen is still told.
class StopSignals {
 public:
  StopSignals() {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&wanted, number);
    sigprocmask(SIG_BLOCK, &wanted, &before_);
    fd_ = UniqueFd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~StopSignals() {
    signalfd_siginfo info;  // taken, or it would end us now
    while (read(fd_.get(), &info, sizeof info) > 0) {
    }
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  int fd() const { return fd_.get(); }

 private:
  sigset_t before_;
  UniqueFd fd_;
};

/// A text on a terminal that is replaced by the next.
class Screen {
 public:
  void show(const std::string& text) {
    winsize size{};
    std::size_t rows = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1) rows = size.ws_row;
    // What has scrolled away cannot be replaced.
    std::size_t end = 0, lines = 0;
    while (lines + 1 < rows && end < text.size()) end = text.find('\n', end) + 1, ++lines;
    write_text(STDOUT_FILENO, back() + text.substr(0, end));
    lines_ = lines;
  }
  void clear() {
    write_text(STDOUT_FILENO, back());
    lines_ = 0;
  }

 private:
  std::string back() const { return lines_ > 0 ? fmt::format("\x1b[{}F\x1b[J", lines_) : ""; }
  std::size_t lines_ = 0;
};

void print(const Exposure& exposure, const ExposureOptions& options, int fd,
           const std::optional<ReportFile>& file) {
  if (file) file->write(exposure_json(exposure));
  if (options.json == "-") return write_answer(exposure_json(exposure));
  const std::string text =
      exposure_text(exposure, text_options(fd, options.colour, options.verbose ? 2 : 0));
  if (fd == STDOUT_FILENO)
    write_answer(text);
  else
    write_text(fd, text);
}

Ending expose_process(pid_t pid, const ExposureOptions& options,
                      const std::optional<ReportFile>& file) {
  auto namer = make_namer();
  ExposureSampler sampler(pid, {options.time.value_or(kDefaultTime), options.interval, false});
  {
    const StopSignals stop;
    sampler.start(stop.fd());
    const bool live = options.json != "-" && isatty(STDOUT_FILENO) == 1;
    Screen screen;
    auto next = ExposureSampler::Clock::now() + kBetweenRedraws;
    while (sampler.step(stop.fd())) {
      if (!live || ExposureSampler::Clock::now() < next) continue;
      screen.show(exposure_text(sampler.result(*namer, kMostExposedLocks),
                                text_options(STDOUT_FILENO, options.colour, false)));
      next = ExposureSampler::Clock::now() + kBetweenRedraws;
    }
    screen.clear();
  }
  print(sampler.result(*namer), options, STDOUT_FILENO, file);
  return {};
}

/// Looks at the program of `run` in a thread of its own.
class Companion {
 public:
  explicit Companion(const ExposureOptions& options) : options_(options) {}
  ~Companion() { end(); }
  void start(pid_t pid) {
    sampler_.emplace(pid, ExposureSampler::Settings{options_.time, options_.interval, true});
    thread_ = std::thread([this] {
      try {
        sampler_->start(stop_.get());
        while (sampler_->step(stop_.get())) {
        }
      } catch (...) {
        failure_ = std::current_exception();
      }
    });
  }
  void end() {
    if (!thread_.joinable()) return;
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  /// After end(). Throws what ended the looks.
  Exposure result(Namer& namer) {
    if (failure_) std::rethrow_exception(failure_);
    return sampler_->result(namer);
  }

 private:
  const ExposureOptions& options_;
  UniqueFd stop_{eventfd(0, EFD_CLOEXEC)};
  std::optional<ExposureSampler> sampler_;
  std::exception_ptr failure_;
  std::thread thread_;
};

Ending expose_command(const ExposureOptions& options, const std::optional<ReportFile>& file) {
  if (options.json == "-")
    throw Failure("--json=- cannot be: standard output is the program's; give a file with "
                  "--json=FILE");
  auto companion = std::make_unique<Companion>(options);
  RunOptions run;
  run.command = options.words;
  run.quiet = true;
  run.watch.reset();
  run.on_start = [&](pid_t pid) { companion->start(pid); };
  run.on_end = [&] {
    companion->end();
    auto namer = make_namer();
    const Exposure exposure = companion->result(*namer);
    if (exposure.any.looks == 0)
      say("the program could not be looked at: it ended at once, or the library was not loaded");
    print(exposure, options, STDERR_FILENO, file);
  };
  return run_program(run);
}

std::chrono::nanoseconds duration_in(const std::string& option, const std::string& text) {
  const auto time = parse_duration(text);
  if (!time)
    throw CLI::ValidationError(
        option, fmt::format("'{}' is no duration; give 10, 1.5s, 500ms, 2m or 1h", text));
  return *time;
}

}  // namespace

std::optional<pid_t> pid_in(const ExposureOptions& options) {
  if (options.dashes || options.words.empty()) return std::nullopt;
  const std::string& word = options.words.front();
  pid_t pid = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), pid);
  if (error != std::errc{} || end != word.data() + word.size() || pid <= 0) return std::nullopt;
  return pid;
}

CLI::App* add_exposure_command(CLI::App& app, ExposureOptions& options) {
  CLI::App* exposure = app.add_subcommand(
      "exposure", "Tell which locks a fork at a random moment would orphan, how probably");
  use_help(*exposure, kUsage, kExamples);
  exposure
      ->add_option_function<std::string>(
          "--seconds",
          [&](const std::string& text) { options.time = duration_in("--seconds", text); },
          "For how long to look (default: at a PID 10 seconds, at a COMMAND to its end; it goes on "
          "in any case)")
      ->type_name("T");
  exposure
      ->add_option_function<std::string>(
          "--interval",
          [&](const std::string& text) { options.interval = duration_in("--interval", text); },
          "Mean time between two looks (default 1ms); more, if the first looks take more than 5 % of it")
      ->type_name("T");
  exposure->add_option("--json", options.json, "Write JSON to this file; - is standard output")
      ->type_name("FILE");
  exposure->add_flag("-v,--verbose", options.verbose, "Show all locks and whole stacks");
  add_colour_option(*exposure, options.colour);
  return exposure;
}

Ending expose_locks(const ExposureOptions& options) {
  if (options.words.empty())
    throw Failure(
        "exposure needs the PID of a process that runs under the library, or a command to run: "
        "forkscope exposure [OPTIONS] (PID | [--] COMMAND [ARGUMENTS...])");
  std::optional<ReportFile> file;
  if (!options.json.empty() && options.json != "-") file.emplace(options.json, "--json");
  if (const auto pid = pid_in(options)) return expose_process(*pid, options, file);
  return expose_command(options, file);
}

}  // namespace forkscope::cli
