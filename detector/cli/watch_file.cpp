#include "detector/cli/watch_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>

#include "detector/cli/failure.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/report/json_parts.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kSchema = "forkscope.watched/1";

// The findings are written as in the report (json_parts.cpp); these read that back.

std::string text_of(const Json& json, const char* name) {
  const Json& value = json.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

std::uint64_t hex_of(const Json& json, const char* name) {
  const std::string text = text_of(json, name);
  std::uint64_t value = 0;
  if (text.starts_with("0x"))
    std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  return value;
}

template <typename Number>
Number number_of(const Json& json, const char* name) {
  const Json& value = json.at(name);
  return value.is_null() ? Number{} : value.get<Number>();
}

Frame frame_of(const Json& json) {
  return {hex_of(json, "address"),       text_of(json, "module"), hex_of(json, "offset"),
          text_of(json, "function"),     text_of(json, "file"),   number_of<int>(json, "line"),
          json.at("inlined").get<bool>()};
}

std::optional<Frame> frame_or_none(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(frame_of(json));
}

PythonFrame python_frame_of(const Json& json) {
  return {text_of(json, "function"), text_of(json, "file"), number_of<int>(json, "line"),
          json.value("may_fork", false)};
}

ThreadReport thread_of(const Json& json) {
  ThreadReport thread;
  thread.tid = number_of<std::int32_t>(json, "tid");
  thread.name = text_of(json, "name");
  thread.start = frame_or_none(json.at("start"));
  thread.state = text_of(json, "state");
  thread.wait_object = hex_of(json, "wait_object");
  thread.held = number_of<int>(json, "held");
  thread.forker = json.at("forker").get<bool>();
  return thread;
}

template <typename T>
std::vector<T> list_of(const Json& json, const char* name, T (*read)(const Json&)) {
  std::vector<T> list;
  for (const Json& item : json.at(name)) list.push_back(read(item));
  return list;
}

LockInfo lock_of(const Json& json) {
  LockInfo lock;
  lock.address = hex_of(json, "address");
  lock.type = text_of(json, "type");
  lock.symbol = text_of(json, "symbol");
  lock.module = text_of(json, "module");
  lock.offset = hex_of(json, "offset");
  lock.mode = text_of(json, "mode");
  lock.shared = json.at("shared").get<bool>();
  if (!json.at("descriptor").is_null()) lock.descriptor = json.at("descriptor").get<int>();
  return lock;
}

Finding::Holder holder_of(const Json& json) {
  Finding::Holder holder;
  if (json.is_null()) return holder;
  holder.tid = number_of<std::int32_t>(json, "tid");
  holder.name = text_of(json, "name");
  holder.start = frame_or_none(json.at("start"));
  holder.acquired = list_of(json, "acquired", frame_of);
  holder.acquired_complete = json.at("acquired_complete").get<bool>();
  holder.creator = list_of(json, "creator", frame_of);
  holder.exited = json.at("exited").get<bool>();
  holder.now = list_of(json, "now", frame_of);
  holder.python = list_of(json, "python", python_frame_of);
  return holder;
}

Finding::Waiter waiter_of(const Json& json) {
  Finding::Waiter waiter;
  if (json.is_null()) return waiter;
  waiter.tid = number_of<std::int32_t>(json, "tid");
  waiter.call = text_of(json, "call");
  waiter.stack = list_of(json, "stack", frame_of);
  waiter.python = list_of(json, "python", python_frame_of);
  return waiter;
}

Finding finding_of(const Json& json) {
  Finding finding;
  finding.kind = text_of(json, "kind");
  finding.severity = text_of(json, "severity");
  finding.certainty = text_of(json, "certainty");
  finding.evidence = text_of(json, "evidence");
  finding.process = number_of<std::int32_t>(json, "process");
  finding.program = text_of(json, "program");
  finding.fork = number_of<std::uint64_t>(json, "fork");
  finding.verdict = text_of(json, "verdict");
  finding.lock = lock_of(json.at("lock"));
  finding.lock.file = text_of(json, "file");
  finding.holder = holder_of(json.at("holder"));
  finding.waiter = waiter_of(json.at("waiter"));
  finding.fork_stack = list_of(json, "fork_stack", frame_of);
  finding.fork_python = list_of(json, "fork_python", python_frame_of);
  finding.lost = list_of(json, "lost", thread_of);
  finding.explanation = text_of(json, "explanation");
  finding.cure = text_of(json, "cure");
  finding.outcome = text_of(json, "outcome");
  finding.count = number_of<std::uint64_t>(json, "count");
  return finding;
}

FirstLook look_of(const Json& json) {
  FirstLook look;
  look.record = json.at("record").get<std::uint64_t>();
  look.waiter = list_of(json, "waiter", python_frame_of);
  look.holder = list_of(json, "holder", python_frame_of);
  look.holder_frames = list_of(json, "holder_now", frame_of);
  return look;
}

Json json_of(const FirstLook& look) {
  Json waiter = Json::array();
  for (const PythonFrame& frame : look.waiter) {
    waiter.push_back(to_json(frame));
    waiter.back()["may_fork"] = frame.may_fork;
  }
  return Json{{"record", look.record},
              {"waiter", waiter},
              {"holder", array(look.holder)},
              {"holder_now", array(look.holder_frames)}};
}

std::string path_of(const std::string& session) { return session + "/" + kWatchFileName; }

/// Gives the file to `read`; nothing where there is none. Throws Failure.
template <typename Read>
void read_file(const std::string& session, const Read& read) {
  const std::string path = path_of(session);
  std::ifstream file(path);
  if (!file) return;
  try {
    const Json document = Json::parse(file);
    if (document.at("schema") != kSchema)
      throw Failure(fmt::format(
          "{} is not of schema {}: it was written by another version of forkscope", path, kSchema));
    read(document);
  } catch (const Json::exception& error) {
    throw Failure(
        fmt::format("cannot understand {} ({}); remove it to see the report without what was found "
                    "from outside",
                    path, error.what()));
  }
}

}  // namespace

void write_watched(const std::string& session, const std::vector<WatchedFinding>& findings,
                   const std::vector<FirstLook>& looks) {
  if (findings.empty() && looks.empty()) return;
  Json list = Json::array();
  for (const WatchedFinding& watched : findings)
    list.push_back(Json{{"time", watched.time}, {"finding", to_json(watched.finding)}});
  Json seen = Json::array();
  for (const FirstLook& look : looks) seen.push_back(json_of(look));
  const std::string text =
      dumped(Json{{"schema", kSchema}, {"findings", list}, {"looks", seen}}) + "\n";
  const std::string path = path_of(session);
  const std::string fresh = path + ".new";
  UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd || write(fd.get(), text.data(), text.size()) != ssize_t(text.size()) ||
      rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(fresh.c_str());
    throw Failure(fmt::format("cannot write {}: {}", path, error_text(error)));
  }
}

std::vector<WatchedFinding> read_watched(const std::string& session) {
  std::vector<WatchedFinding> findings;
  read_file(session, [&](const Json& document) {
    for (const Json& item : document.at("findings")) {
      WatchedFinding watched{finding_of(item.at("finding")), item.at("time").get<std::uint64_t>()};
      watched.finding.records = {kWatchedRecord | findings.size()};
      findings.push_back(std::move(watched));
    }
  });
  return findings;
}

std::vector<FirstLook> read_looks(const std::string& session) {
  std::vector<FirstLook> looks;
  read_file(session, [&](const Json& document) { looks = list_of(document, "looks", look_of); });
  return looks;
}

}  // namespace forkscope::cli
