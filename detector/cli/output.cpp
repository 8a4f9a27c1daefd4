#include "detector/cli/output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "detector/cli/failure.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope::cli {
namespace {

// A terminal nobody can read on, or one whose lines nobody can follow, gets the default width.
constexpr int kNarrowest = 60;
constexpr int kWidest = 140;

/// Empty where it is not set, or to nothing.
std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// https://no-color.org, https://bixense.com/clicolors
bool wants_colour(bool terminal) {
  if (!variable("NO_COLOR").empty()) return false;
  const std::string_view force = variable("CLICOLOR_FORCE");
  if (!force.empty() && force != "0") return true;
  return terminal && variable("TERM") != "dumb";
}

/// 0: nothing tells.
int columns_of(int fd, bool terminal) {
  winsize size{};
  if (terminal && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const std::string_view text = variable("COLUMNS");
  int columns = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), columns);
  return error == std::errc{} && end == text.data() + text.size() ? columns : 0;
}

}  // namespace

std::string error_text(int error) {
  char buffer[256];
  return strerror_r(error, buffer, sizeof buffer);
}

void reserve_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) open("/dev/null", O_RDWR | O_CLOEXEC);
}

int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      // The program shares the open file description and made it non-blocking.
      pollfd ready{fd, POLLOUT, 0};
      if (poll(&ready, 1, 5000) == 0) return EAGAIN;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void write_text(int fd, std::string_view text) { write_all(fd, text); }

void write_answer(std::string_view text) {
  if (const int error = write_all(STDOUT_FILENO, text); error != 0)
    throw Failure("cannot write to standard output: " + error_text(error) +
                  "; the answer is lost or cut short");
}

void say(std::string_view sentence) {
  // Names in it are shortened where they are quoted; this is for those that nobody thought of.
  constexpr std::size_t kMost = 2000;
  write_text(STDERR_FILENO, "forkscope: " + bounded(sentence, kMost) + "\n");
}

TextOptions text_options(int fd, Colour colour, int verbose) {
  TextOptions options;
  options.verbose = verbose >= 1;
  options.everything = verbose >= 2;
  const bool terminal = isatty(fd) != 0;
  options.colour = colour == Colour::kAlways || (colour == Colour::kAuto && wants_colour(terminal));
  if (const int columns = columns_of(fd, terminal); columns > 0) {
    options.width = std::clamp(columns, kNarrowest, kWidest);
    options.bounded = true;
  }
  return options;
}

}  // namespace forkscope::cli
