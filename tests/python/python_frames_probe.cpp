// Prints the Python frames of every thread of a process, for python_frames_test.py and for looking
// by hand:
//
//   python_frames_probe PID [REPEAT]
//
// A line for the version, one for each thread (its ID in the process's own PID namespace), one for
// each frame, all fields tab-separated. With REPEAT the whole is read so many times and the
// shortest time, in microseconds, is said on standard error. Exit status 3: no CPython, or not
// readable.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "detector/inspect/modules.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/python/python_reader.hpp"

namespace {

using forkscope::PythonFrame;

std::string slurp(const std::filesystem::path& path) {
  std::string text;
  std::ifstream in(path);
  char piece[4096];
  // A thread that has ended meanwhile gives nothing.
  while (in.read(piece, sizeof piece), in.gcount() > 0)
    text.append(piece, std::size_t(in.gcount()));
  return text;
}

struct Seen {
  std::string version, why_not;
  std::map<std::int32_t, std::vector<PythonFrame>> threads;
};

Seen look(int pid) {
  const std::filesystem::path folder = "/proc/" + std::to_string(pid);
  forkscope::LiveMemory memory(pid);
  const auto mappings = forkscope::parse_maps(slurp(folder / "maps"));
  forkscope::ModuleFinder finder(memory);
  finder.set_folders(folder, true);
  Seen seen;
  const auto reader =
      forkscope::PythonReader::open(memory, finder.modules(mappings), mappings, &seen.why_not);
  if (!reader) return seen;
  seen.version = reader->version();
  std::error_code error;  // a thread may end while it is looked at
  for (const auto& task : std::filesystem::directory_iterator(folder / "task", error)) {
    const auto status = forkscope::parse_status(slurp(task.path() / "status"));
    const auto call = forkscope::parse_syscall(slurp(task.path() / "syscall"));
    const std::int32_t own_tid = status && !status->ids.empty()
                                     ? status->ids.back()
                                     : std::atoi(task.path().filename().c_str());
    // PROBE_BY_STACK: as if thread IDs said nothing.
    const bool by_stack = std::getenv("PROBE_BY_STACK") != nullptr;
    seen.threads[own_tid] =
        reader->frames(by_stack ? 0 : own_tid, call && !call->running ? call->call.sp : 0);
  }
  return seen;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int pid = std::atoi(argv[1]);
  const int repeat = argc > 2 ? std::atoi(argv[2]) : 1;
  Seen seen;
  auto shortest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    seen = look(pid);
    shortest = std::min(shortest, std::chrono::steady_clock::now() - start);
  }
  if (argc > 2) {
    std::fprintf(stderr, "%.0f us\n", std::chrono::duration<double, std::micro>(shortest).count());
  }
  if (seen.version.empty()) {
    std::fprintf(stderr, "%s\n", seen.why_not.empty() ? "no CPython" : seen.why_not.c_str());
    return 3;
  }
  std::printf("version\t%s\n", seen.version.c_str());
  for (const auto& [tid, frames] : seen.threads) {
    std::printf("thread\t%d\n", tid);
    for (const PythonFrame& frame : frames) {
      std::printf("frame\t%s\t%s\t%d\n", frame.function.c_str(), frame.file.c_str(), frame.line);
    }
  }
  return 0;
}
