#include "bench/cost/drive/measure.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <sstream>
#include <utility>

#include "bench/cost/drive/plan.hpp"
#include "bench/ratios/machine.hpp"

namespace forkscope::cost {
namespace {

constexpr int kSkipped = 77;  // exit status of the measuring programs

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto begin = text.rfind('\n');
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

std::string ending(const bench::Finished& finished) {
  const std::string how = WIFSIGNALED(finished.status)
                              ? "signal " + std::to_string(WTERMSIG(finished.status)) + " ended it"
                              : "it exited with " + std::to_string(WEXITSTATUS(finished.status));
  const std::string said = last_line(finished.errors);
  return said.empty() ? how : how + ": " + said;
}

}  // namespace

bench::Finished run_program(std::vector<std::string> arguments, double timeout, bool pinned,
                            const std::vector<std::string>& more_environment) {
  return bench::execute(std::move(arguments), more_environment,
                        pinned ? bench::choose_cpus().two : std::vector<int>(), timeout);
}

Outcome measure_case(const Programs& programs, const Spec& spec, double budget) {
  const std::string name = name_of(spec);
  const Method* method = find_method(spec.method);
  const bool python = method != nullptr && method->python;
  // Inherited by the program that writes it.
  const bench::Descriptor samples(memfd_create("samples", 0), "memfd_create");
  std::vector<std::string> arguments;
  if (python) arguments.push_back(programs.python);
  arguments.push_back(programs.folder + (python ? "/python_start.py" : "/cost_bench"));
  arguments.push_back(name);
  arguments.push_back("--samples=/dev/fd/" + std::to_string(samples.get()));
  arguments.push_back("--budget=" + std::to_string(budget));
  const bool pinned = spec.concurrency == 1 && spec.tasks == 0;
  const double timeout = 30 + 20 * (budget + overhead_seconds(spec));
  const bench::Finished finished = run_program(std::move(arguments), timeout, pinned);
  Outcome outcome;
  if (WIFEXITED(finished.status) && WEXITSTATUS(finished.status) == kSkipped)
    outcome.skip = last_line(finished.errors);
  else if (finished.status != 0)
    throw std::runtime_error(ending(finished));
  else
    outcome.samples = parse_samples(bench::contents(samples));
  return outcome;
}

std::map<std::string, std::vector<double>> parse_samples(const std::string& text) {
  std::map<std::string, std::vector<double>> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line == "end") return samples;
    std::istringstream words(line);
    std::string clock;
    words >> clock;
    auto& values = samples[clock];
    for (double value; words >> value;) values.push_back(value);
    if (!words.eof() || values.empty()) break;
  }
  throw std::runtime_error("its samples are not complete");
}

void make_interruptible() {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // hence no SA_RESTART: poll() ends with EINTR
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace forkscope::cost
