#include "tests/process/cli_run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace cli_test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLimit = std::chrono::seconds(30);

int milliseconds_until(Clock::time_point limit) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(limit - Clock::now()).count();
  return static_cast<int>(std::max<long>(left, 0));
}

/// Appends what can be read. False at the end of the file.
bool read_some(int fd, std::string& text) {
  char buffer[65536];
  ssize_t size = read(fd, buffer, sizeof buffer);
  if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
  return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}

void close_at(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "cli_test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool exists(const std::string& path) { return std::filesystem::exists(path); }

bool process_lives(pid_t pid) {
  std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  std::size_t name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X';
}

int Ended::exit() const { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1; }
int Ended::signal() const { return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0; }

bool Ended::one_sentence_with(const std::string& part) const {
  return errors.starts_with("forkscope: ") && errors.find('\n') == errors.size() - 1 &&
         errors.find(part) != std::string::npos;
}

Started::Started(const std::vector<std::string>& arguments, const std::function<void()>& prepare) {
  std::array<int, 2> in, out, err;
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0 ||
      pipe2(err.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("pipe2 failed");
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    close_range(3, ~0u, 0);  // whatever the tests' own parent left open
    if (prepare) prepare();
    execv(argv[0], argv.data());
    _exit(98);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  input_ = in[1];
  output_ = out[0];
  errors_ = err[0];
  fcntl(input_, F_SETFL, O_NONBLOCK);
}

Started::~Started() {
  close_at(input_);
  close_at(output_);
  close_at(errors_);
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

std::string Started::line() {
  auto limit = Clock::now() + kLimit;
  while (true) {
    std::size_t end = ended_.output.find('\n');
    if (end != std::string::npos) {
      std::string line = ended_.output.substr(0, end);
      ended_.output.erase(0, end + 1);
      return line;
    }
    pollfd ready{output_, POLLIN, 0};
    if (poll(&ready, 1, milliseconds_until(limit)) <= 0) throw std::runtime_error("no line came");
    if (!read_some(output_, ended_.output)) throw std::runtime_error("output ended");
  }
}

Ended Started::end(const std::string& input) {
  auto limit = Clock::now() + kLimit;
  std::size_t fed = 0;
  while (output_ >= 0 || errors_ >= 0) {
    if (fed == input.size()) close_at(input_);
    std::array<pollfd, 3> ready{{{input_, POLLOUT, 0}, {output_, POLLIN, 0}, {errors_, POLLIN, 0}}};
    if (poll(ready.data(), ready.size(), milliseconds_until(limit)) == 0) {
      kill(pid_, SIGKILL);
      throw std::runtime_error("the program did not end; it said: " + ended_.errors);
    }
    if (ready[0].revents != 0) {
      ssize_t size = write(input_, input.data() + fed, input.size() - fed);
      fed = size >= 0 ? fed + static_cast<std::size_t>(size) : input.size();
    }
    if (ready[1].revents != 0 && !read_some(output_, ended_.output)) close_at(output_);
    if (ready[2].revents != 0 && !read_some(errors_, ended_.errors)) close_at(errors_);
  }
  close_at(input_);
  waitpid(pid_, &ended_.wait_status, 0);
  pid_ = -1;
  return std::move(ended_);
}

Ended run(const std::vector<std::string>& arguments, const std::string& input,
          const std::function<void()>& prepare) {
  return Started(arguments, prepare).end(input);
}

std::vector<std::string> forkscope_run(const std::vector<std::string>& options,
                                       const std::vector<std::string>& command) {
  std::vector<std::string> arguments{FORKSCOPE_EXE, "run"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), command.begin(), command.end());
  return arguments;
}

std::vector<std::string> probe(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{FORKSCOPE_PROBE};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

}  // namespace cli_test
