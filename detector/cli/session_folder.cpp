#include "detector/cli/session_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "detector/cli/failure.hpp"
#include "detector/cli/watch_file.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/record/record.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kFactsName = "/command.json";
constexpr const char* kSchema = "forkscope.session/1";

std::string absolute(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr)
    throw Failure(fmt::format("cannot use the session folder {}: {}", path, error_text(errno)));
  std::string result = resolved;
  std::free(resolved);
  return result;
}

std::string make_temporary() {
  const char* base = std::getenv("TMPDIR");
  if (base == nullptr || *base == '\0') base = "/tmp";
  std::string name = fmt::format("{}/forkscope-XXXXXX", base);
  if (mkdtemp(name.data()) == nullptr)
    throw Failure(fmt::format(
        "cannot create a session folder in {}: {}; set TMPDIR or give one with --session=DIR", base,
        error_text(errno)));
  return absolute(name);
}

}  // namespace

SessionFolder::SessionFolder(const std::string& wanted) {
  if (wanted.empty()) {
    path_ = make_temporary();
    temporary_ = created_ = true;
    return;
  }
  created_ = mkdir(wanted.c_str(), 0700) == 0;
  if (!created_ && errno != EEXIST)
    throw Failure(
        fmt::format("cannot create the session folder {}: {}; create the folder above it, "
                    "or give another with --session=DIR",
                    wanted, error_text(errno)));
  path_ = absolute(wanted);
  struct stat status {};
  if (stat(path_.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    throw Failure(
        fmt::format("cannot use {} as session folder: it is not a folder; give another "
                    "with --session=DIR",
                    wanted));
  if (faccessat(AT_FDCWD, path_.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
    throw Failure(
        fmt::format("cannot write to the session folder {}: {}; give another with "
                    "--session=DIR",
                    wanted, error_text(errno)));
  if (faccessat(AT_FDCWD, (path_ + "/" + record::kArenaFileName).c_str(), F_OK,
                AT_SYMLINK_NOFOLLOW) == 0)
    throw Failure(
        fmt::format("the session folder {} already holds a session; give another with "
                    "--session=DIR, or look at this one with `forkscope report {}`",
                    wanted, wanted));
}

SessionFolder::~SessionFolder() {
  if (temporary_ || !started_) remove_files();
}

void SessionFolder::remove_temporary() {
  if (!temporary_) return;
  remove_files();
  temporary_ = false;
}

void SessionFolder::remove_files() {
  if (path_.empty()) return;
  unlink((path_ + "/" + record::kArenaFileName).c_str());
  unlink((path_ + kFactsName).c_str());
  unlink((path_ + "/" + kWatchFileName).c_str());
  if (created_) rmdir(path_.c_str());
  path_.clear();
}

void write_facts(const std::string& session, const RunFacts& facts, bool finished) {
  nlohmann::json document = {{"schema", kSchema},       {"command", facts.command},
                             {"finished", finished},    {"exit", nullptr},
                             {"signal", nullptr},       {"timed_out", facts.timed_out},
                             {"running", facts.running}};
  if (facts.exit) document["exit"] = *facts.exit;
  if (facts.signal) document["signal"] = *facts.signal;
  if (facts.seed) {
    document["seed"] = *facts.seed;
    document["inject"] = facts.inject;
  }
  // Arguments are bytes, JSON is UTF-8.
  std::string text = document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::string path = session + kFactsName;
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd || write(fd.get(), text.data(), text.size()) != ssize_t(text.size()))
    throw Failure(fmt::format("cannot write {}: {}", path, error_text(errno)));
  write_watched(session, facts.watched, facts.looks);
}

StoredFacts read_facts(const std::string& session) {
  StoredFacts stored;
  RunFacts& facts = stored.facts;
  facts.watched = read_watched(session);
  facts.looks = read_looks(session);
  std::string path = session + kFactsName;
  std::ifstream file(path);
  if (!file) return stored;
  try {
    auto document = nlohmann::json::parse(file);
    if (document.at("schema") != kSchema)
      throw Failure(
          fmt::format("{} is not of schema {}: it was written by another version of "
                      "forkscope",
                      path, kSchema));
    document.at("command").get_to(facts.command);
    if (!document.at("exit").is_null()) facts.exit = document.at("exit").get<int>();
    if (!document.at("signal").is_null()) facts.signal = document.at("signal").get<int>();
    document.at("finished").get_to(stored.finished);
    document.at("timed_out").get_to(facts.timed_out);
    document.at("running").get_to(facts.running);
    if (document.contains("seed")) {
      facts.seed = document.at("seed").get<std::uint64_t>();
      document.at("inject").get_to(facts.inject);
    }
  } catch (const nlohmann::json::exception& error) {
    throw Failure(
        fmt::format("cannot understand {} ({}); remove it to see the report without the "
                    "command's exit",
                    path, error.what()));
  }
  return stored;
}

}  // namespace forkscope::cli
