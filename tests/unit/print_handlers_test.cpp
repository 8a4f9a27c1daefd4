// The table of at-fork handlers, as text.
#include <catch2/catch.hpp>

#include "detector/report/print.hpp"

using namespace forkscope;

namespace {

Frame frame(const std::string& function, const std::string& module, std::uint64_t offset) {
  Frame frame;
  frame.function = function;
  frame.module = module;
  frame.offset = offset;
  return frame;
}

HandlerReport handlers(std::uint64_t nanoseconds, const std::string& lock) {
  HandlerReport report;
  report.order = 1;
  report.registered = frame("start", "/lib/libtable.so", 0x10);
  report.prepare.emplace();
  report.prepare->function = frame("lock_all", "/lib/libtable.so", 0x20);
  report.prepare->nanoseconds = nanoseconds;
  LockInfo taken;
  taken.type = "mutex";
  taken.symbol = lock;
  report.prepare->taken.push_back(taken);
  return report;
}

Report report_of(std::vector<HandlerReport> reports) {
  Report report;
  for (HandlerReport& handler : reports) {
    ForkReport fork;
    fork.handlers.emplace().push_back(std::move(handler));
    report.forks.push_back(std::move(fork));
  }
  return report;
}

TextOptions verbose() {
  TextOptions options;
  options.verbose = true;
  return options;
}

}  // namespace

TEST_CASE("handlers of all forks are one row, with what they took together", "[print][handlers]") {
  const Report report = report_of({handlers(1'000, "rows"), handlers(3'000, "columns")});
  const std::string text = handlers_text(report, verbose());
  CHECK(text.find("1 registered at start (libtable.so)") != std::string::npos);
  CHECK(
      text.find("lock_all (libtable.so): 2 runs, 2.0 us on average, 3.0 us at most; takes mutex") !=
      std::string::npos);
  CHECK(text.find("rows") != std::string::npos);
  CHECK(text.find("columns") != std::string::npos);
  CHECK(text.find("parent") == text.npos);
}

TEST_CASE("handlers that forks passed by have no times", "[print][handlers]") {
  HandlerReport handler = handlers(0, "rows");
  handler.passed_by = true;
  const std::string text = handlers_text(report_of({handler}), verbose());
  CHECK(text.find("passed by in 1 fork") != std::string::npos);
  CHECK(text.find("average") == std::string::npos);
}

TEST_CASE("without --verbose, and without handlers, nothing is printed", "[print][handlers]") {
  CHECK(handlers_text(report_of({handlers(1, "rows")}), {}).empty());
  CHECK(handlers_text({}, verbose()).empty());
}
