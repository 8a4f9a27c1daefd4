#include "bench/cost/report/figures.hpp"

#include <algorithm>

#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

const Axis kParentSize{"resident memory of the parent", Unit::kBytes, true};

const std::string kUsual = "fork|fork-exec|posix_spawn|vfork-exec|forkserver|zygote|thread";

Axis time_axis(const std::string& label) { return {label, Unit::kTime, true}; }

std::string repeat(const Result& result, const std::string& pattern) {
  return "forkscope bench --" + result.mode + " --filter '" + pattern + "'";
}

/// A line has two points.
std::vector<Series> lines(std::vector<Series> all) {
  std::erase_if(all, [](const Series& series) { return series.marks.size() < 2; });
  return all;
}

/// A plot needs a line; what was measured at one size only is a point beside it.
std::vector<Series> lines_and_points(std::vector<Series> all) {
  return lines(all).empty() ? std::vector<Series>() : all;
}

void add(std::vector<Plot>& out, Plot plot) {
  if (!plot.series.empty()) out.push_back(std::move(plot));
}

void add_sizes(std::vector<Plot>& out, const Result& result) {
  struct View {
    const char *clock, *title, *note;
  };
  const std::vector<std::string> usual{"fork",       "fork-exec", "posix_spawn", "vfork-exec",
                                       "forkserver", "zygote",    "thread"};
  for (const View& view :
       {View{"call", "The parent may go on",
             "From the call until it returns in the parent. vfork and posix_spawn return when the "
             "child has called execve()."},
        View{"ready", "The child is ready for work",
             "From the call until the child has read its first task: of a copy, after fork() "
             "returned in it; of a program, in its main()."},
        View{"reap", "Until wait() has returned",
             "The child ends at once. Taking a large copy down costs about as much as making it."}})
    add(out, {std::string("size-") + view.clock, view.title, view.note,
              repeat(result, "^(" + kUsual + ")(/resident=[^/]+)?$"), kParentSize,
              time_axis(clock_words(view.clock)),
              lines_and_points(series_by_method(result, &Spec::resident, view.clock, usual))});
  for (const char* clock : {"call", "reap"}) {
    auto kinds = lines_and_points(series_by_memory(result, clock));
    if (kinds.size() < 2) continue;  // nothing to compare
    add(out, {std::string("memory-") + clock,
              std::string("fork() by the kind of the parent's memory, ") + clock_words(clock),
              "dirty: every page written. clean: only read. fragmented: dirty, every second block "
              "read-only. huge: transparent huge pages. file: a private mapping, read. shared: "
              "MAP_SHARED. dontfork: MADV_DONTFORK.",
              repeat(result, "^fork(/memory=[^/]+)?(/resident=[^/]+)?$"), kParentSize,
              time_axis(clock_words(clock)), std::move(kinds)});
  }
}

void add_parents(std::vector<Plot>& out, const Result& result) {
  struct View {
    const char* key;
    std::uint64_t Spec::*axis;
    const char *title, *label;
    Unit unit;
  };
  for (const View& view :
       {View{"threads", &Spec::threads, "Threads of the parent", "further threads", Unit::kCount},
        View{"descriptors", &Spec::descriptors, "Open descriptors", "further descriptors",
             Unit::kCount},
        View{"mappings", &Spec::mappings, "Mappings", "further mappings, a written page each",
             Unit::kCount},
        View{"handlers", &Spec::handlers, "At-fork handlers", "empty handlers", Unit::kCount},
        View{"concurrency", &Spec::concurrency, "At the same time",
             "threads of the parent that do it at once", Unit::kCount},
        View{"environment", &Spec::environment, "Environment", "further bytes of environment",
             Unit::kBytes},
        View{"arguments", &Spec::arguments, "Arguments", "further bytes of arguments",
             Unit::kBytes}}) {
    // The usual parent is a point of each: 0 of these.
    add(out, {view.key, view.title, "A parent of 1 MiB.",
              repeat(result,
                     std::string("/") + view.key + "=|^(fork|fork-exec|vfork-exec|posix_spawn)$"),
              Axis{view.label, view.unit, true}, time_axis(clock_words("reap")),
              lines(series_by_method(result, view.axis, "reap"))});
  }
  add(out, {"stall", "Another thread of the parent meanwhile",
            "A thread that faults pages in all the time: the longest that one fault took during "
            "the call and the child's life. fork() holds the lock of the address space; where "
            "processors are short, waiting for one is part of it.",
            repeat(result, "/stall="), kParentSize, time_axis("longest stall"),
            lines_and_points(series_of_stall(result))});
  add(out,
      {"writes", "Writing to copied pages",
       "The bill of copy-on-write: whoever writes to a page first pays the copy, the other one "
       "only a page fault. Time of all writes.",
       repeat(result, "/first="), Axis{"pages written", Unit::kPercent, false},
       time_axis("time of the writes"), lines(series_of_writes(result))});
}

void add_workloads(std::vector<Plot>& out, const Result& result) {
  add(out, {"python", "CPython's start methods",
            "From Process.start() until the first line of the worker's function. Imports: of the "
            "main module, which a worker by spawn imports again.",
            repeat(result, "^python-[a-z]+(/imports=[^/]+)?(/resident=[^/]+)?$"), kParentSize,
            time_axis(clock_words("ready")), lines(series_of_python(result, "ready"))});
  std::vector<Series> native = series_of_pools(result), python = native;
  std::erase_if(native, [](const Series& s) { return s.name.starts_with("python-"); });
  std::erase_if(python, [](const Series& s) { return !s.name.starts_with("python-"); });
  const Axis task{"processor time of a task", Unit::kMilliseconds, true};
  add(out, {"pools", "Pools: a new process for each task",
            "What a task takes of a worker, its own time and everything else. Parent of 64 MiB.",
            repeat(result, "^(fork|posix_spawn|forkserver|zygote)/.*tasks="), task,
            time_axis("worker time per task"), lines(native)});
  add(out,
      {"pools-python", "Pools of CPython",
       "A new process for each task, and Pool(), whose workers are started once.",
       repeat(result, "^python-.*tasks="), task, time_axis("worker time per task"), lines(python)});
}

/// Distributions over the iterations of the usual methods, at one size.
void add_distributions(std::vector<Plot>& out, const Result& result) {
  struct View {
    std::uint64_t size;
    const char* clock;
  };
  for (const View& view :
       {View{1 << 20, "reap"}, View{256 << 20, "call"}, View{256 << 20, "reap"}}) {
    Plot plot{
        std::string("distribution-") + view.clock + "-" + size_text(view.size),
        "Distribution " + clock_words(view.clock) + ", parent of " + bytes_text(double(view.size)),
        "Share of the iterations that took at most so long.",
        repeat(
            result,
            "^(" + kUsual +
                (view.size == Spec().resident ? ")$" : ")/resident=" + size_text(view.size) + "$")),
        time_axis(clock_words(view.clock)),
        Axis{"share of the iterations", Unit::kShare, false},
        {},
        true};
    for (const Series& series : series_by_method(
             result, &Spec::resident, view.clock,
             {"fork", "fork-exec", "posix_spawn", "vfork-exec", "forkserver", "zygote", "thread"}))
      for (const Mark& mark : series.marks) {
        if (mark.x != double(view.size)) continue;
        Series line{series.name, {}};
        const Summary* summary = find_clock(*find_case(result, mark.name), view.clock);
        for (const Histogram::Step& step : summary->histogram.distribution())
          line.marks.push_back({step.value, step.share, step.share, step.share, mark.name});
        plot.series.push_back(std::move(line));
      }
    add(out, std::move(plot));
  }
}

}  // namespace

std::vector<Plot> figures(const Result& result) {
  std::vector<Plot> out;
  add_sizes(out, result);
  add_parents(out, result);
  add_workloads(out, result);
  add_distributions(out, result);
  return out;
}

}  // namespace forkscope::cost
