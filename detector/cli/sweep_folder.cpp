#include "detector/cli/sweep_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "detector/cli/failure.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/cli/session_folder.hpp"

namespace forkscope::cli {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr const char* kPlanName = "/sweep.json";
constexpr const char* kSchema = "forkscope.sweep-plan/1";

std::string make_folder(const std::string& wanted) {
  std::error_code error;
  if (!wanted.empty()) {
    fs::create_directories(wanted, error);
    const std::string path = error ? wanted : fs::canonical(wanted, error).string();
    if (error || !fs::is_directory(path))
      throw Failure(fmt::format("cannot use the folder {}: {}; give another with --folder=DIR",
                                wanted, error ? error.message() : "it is no folder"));
    return path;
  }
  const char* base = std::getenv("TMPDIR");
  std::string name =
      fmt::format("{}/forkscope-sweep-XXXXXX", base != nullptr && *base != '\0' ? base : "/tmp");
  if (mkdtemp(name.data()) == nullptr)
    throw Failure(fmt::format("cannot create the folder {}: {}; give one with --folder=DIR", name,
                              error_text(errno)));
  return fs::canonical(name).string();
}

Json number_or_null(const std::optional<int>& value) { return value ? Json(*value) : Json(); }
std::optional<int> number_of(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<int>());
}

SweepPlan plan_of(const Json& document) {
  SweepPlan plan;
  document.at("command").get_to(plan.command);
  const Json& learned = document.at("learned");
  plan.learned = {number_of(learned.at("exit")), number_of(learned.at("signal")),
                  learned.at("timed_out").get<bool>()};
  learned.at("deadlocks").get_to(plan.deadlocks);
  plan.limit = std::chrono::milliseconds(document.at("limit_ms").get<std::int64_t>());
  document.at("seed").get_to(plan.seed);
  for (const Json& row : document.at("rows"))
    plan.rows.push_back({row.at("id"), row.at("spec"), row.at("lock"), row.at("suspected"),
                         row.at("also")});
  plan.untried = document.value("untried", std::vector<std::string>{});
  return plan;
}

}  // namespace

std::optional<SweepPlan> read_sweep_plan(const std::string& folder) {
  const std::string path = folder + kPlanName;
  std::ifstream file(path);
  if (!file) return std::nullopt;
  try {
    const Json document = Json::parse(file);
    if (document.at("schema") != kSchema)
      throw Failure(fmt::format("{} is not of schema {}: give another folder with --folder=DIR",
                                path, kSchema));
    return plan_of(document);
  } catch (const Json::exception& error) {
    throw Failure(fmt::format("cannot understand {} ({}); remove it to learn the program again",
                              path, error.what()));
  }
}

SweepFolder::SweepFolder(const std::string& wanted) : path_(make_folder(wanted)) {
  std::error_code error;
  fs::create_directory(path_ + "/runs", error);
  lock_ = UniqueFd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (error || !lock_)
    throw Failure(fmt::format("cannot use the folder {}: {}; give another with --folder=DIR", path_,
                              error ? error.message() : error_text(errno)));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    throw Failure(fmt::format("another sweep is using the folder {}; wait for it, or give another "
                              "with --folder=DIR",
                              path_));
}

void SweepFolder::write(const SweepPlan& plan) const {
  Json rows = Json::array();
  for (const SweepRow& row : plan.rows)
    rows.push_back({{"id", row.id},
                    {"spec", row.spec},
                    {"lock", row.lock},
                    {"suspected", row.suspected},
                    {"also", row.also}});
  const Json document = {{"schema", kSchema},
                         {"command", plan.command},
                         {"learned",
                          {{"exit", number_or_null(plan.learned.exit)},
                           {"signal", number_or_null(plan.learned.signal)},
                           {"timed_out", plan.learned.timed_out},
                           {"deadlocks", plan.deadlocks}}},
                         {"limit_ms", plan.limit.count()},
                         {"seed", plan.seed},
                         {"rows", rows},
                         {"untried", plan.untried}};
  // Arguments are bytes, JSON is UTF-8.
  ReportFile(path_ + kPlanName, "--folder")
      .write(document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

bool is_over(const std::string& session) { return read_facts(session).finished; }

void remove_session(const std::string& session) {
  std::error_code error;
  fs::remove_all(session, error);
  if (error)
    throw Failure(fmt::format("cannot remove {}, which an interrupted run left: {}", session,
                              error.message()));
}

}  // namespace forkscope::cli
