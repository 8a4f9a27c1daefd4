#include "detector/cli/exposure_sampler.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "detector/cli/environment.hpp"
#include "detector/cli/failure.hpp"
#include "detector/inspect/small_file.hpp"

namespace forkscope::cli {
namespace {

using std::chrono::duration;
using std::chrono::nanoseconds;

constexpr std::uint64_t kTrial = 64;  // looks after which the price of one is known
constexpr double kMostShare = 0.05;   // of one processor that looking may take
constexpr auto kBetweenRefreshes = std::chrono::milliseconds(50);
constexpr auto kMappingsLast = std::chrono::seconds(5);

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

Failure no_library(pid_t pid) {
  return Failure(fmt::format(
      "process {} does not run under forkscope's library, so nothing tells which locks its threads "
      "hold; start the program with `forkscope exposure -- COMMAND` or `forkscope run -- COMMAND`, "
      "or with LD_PRELOAD={}",
      pid, preload_library()));
}

Failure other_version(pid_t pid) {
  return Failure(
      fmt::format("process {} runs under the library of another version of forkscope; "
                  "look at it with the forkscope it was started with, or start it anew",
                  pid));
}

bool covers(const std::vector<ModuleRecord>& modules, std::uint64_t address) {
  return std::any_of(modules.begin(), modules.end(), [&](const ModuleRecord& module) {
    return address >= module.start && address < module.end;
  });
}

}  // namespace

ExposureSampler::ExposureSampler(pid_t pid, Settings settings)
    : pid_(pid),
      settings_(settings),
      pidfd_(int(syscall(SYS_pidfd_open, pid, 0))),
      random_(std::random_device()()),
      interval_(settings.interval) {
  facts_.pid = pid;
}

ExposureSampler::Event ExposureSampler::wait_until(Clock::time_point moment, int stop) const {
  pollfd events[] = {{stop, POLLIN, 0}, {pidfd_.get(), POLLIN, 0}};
  while (true) {
    const auto left = std::max(nanoseconds(0), nanoseconds(moment - Clock::now()));
    const timespec timeout{time_t(left.count() / 1'000'000'000),
                           long(left.count() % 1'000'000'000)};
    const int ready = ppoll(events, std::size(events), &timeout, nullptr);
    if (ready == 0) return Event::kTime;
    if (ready < 0) continue;  // EINTR: stopped and continued
    return events[0].revents != 0 ? Event::kStop : Event::kEnd;
  }
}

/// Whether there is a reader now.
bool ExposureSampler::find() {
  process_ = LiveProcess::open(pid_);
  if (!process_) return false;
  seen_ = process_->look();
  auto [found, reader] = HeldReader::find(process_->memory(), seen_);
  // Of a program of ours the loader is still at it: what is not relocated cannot be found.
  if (found == HeldReader::Found::kOtherVersion && !settings_.own) throw other_version(pid_);
  reader_ = std::move(reader);
  if (!reader_) return false;
  facts_.program = seen_.exe.empty() ? seen_.name : seen_.exe;
  facts_.command = seen_.command;
  return true;
}

void ExposureSampler::start(int stop) {
  const auto began = Clock::now();
  while (!find()) {
    if (!settings_.own) {
      if (!process_) throw Failure(fmt::format("there is no process {}", pid_));
      if (seen_.modules.empty() && !seen_.missing.empty()) {
        const Missing& missing = seen_.missing.front();
        throw Failure(fmt::format(
            "process {} cannot be looked at: {}{}", pid_, missing.why,
            missing.cure.empty() ? "" : fmt::format("; run `sudo forkscope exposure {}`", pid_)));
      }
      throw no_library(pid_);
    }
    // The loader is at it, or a shell is about to exec.
    const auto pause = std::clamp<nanoseconds>(
        (Clock::now() - began) / 4, std::chrono::microseconds(500), std::chrono::milliseconds(100));
    const Event event = wait_until(Clock::now() + pause, stop);
    if (event != Event::kTime) {
      over(event == Event::kEnd ? "process" : "signal");
      return;
    }
  }
  first_ = next_ = refreshed_ = Clock::now();
}

/// Whether the tables are gone because it ends. Its memory goes first, which takes a while.
bool ExposureSampler::ended(int stop) const {
  while (wait_until(Clock::now() + std::chrono::milliseconds(5), stop) == Event::kTime) {
    const auto stat = process_->stat();
    if (!stat || stat->state == 'Z' || stat->state == 'X') return true;
    if (!process_->look().mappings.empty()) return false;
  }
  return true;
}

bool ExposureSampler::over(const char* why) {
  facts_.end = why;
  return false;
}

bool ExposureSampler::step(int stop) {
  if (!reader_) return false;
  next_ = Clock::now() + std::chrono::duration_cast<nanoseconds>(
                             interval_ * std::exponential_distribution<double>(1)(random_));
  const bool last = settings_.time && next_ - first_ >= *settings_.time;
  if (last) next_ = first_ + *settings_.time;
  const Event event = wait_until(next_, stop);
  if (event == Event::kStop) return over("signal");
  if (event == Event::kEnd) return over("process");
  if (last) return over("time");
  const double before = cpu_seconds();
  const HeldReader::Look look = reader_->look(held_);
  looking_ += cpu_seconds() - before;
  if (look == HeldReader::Look::kGone) {
    if (ended(stop)) return over("process");
    if (!settings_.own) return over("image");
    // It runs another program: what was seen of the one before it is no answer.
    counter_ = {};
    facts_ = {};
    facts_.pid = pid_;
    interval_ = settings_.interval;
    looking_ = 0;
    reader_.reset();
    start(stop);
    return reader_ != nullptr;
  }
  if (look == HeldReader::Look::kLost) {
    ++facts_.lost;
  } else {
    leave_out_shared();
    counter_.add(held_);
    learn(held_);
  }
  facts_.sampler_cpu += cpu_seconds() - before;
  facts_.seconds = duration<double>(Clock::now() - first_).count();
  if (counter_.looks() == kTrial) choose_interval();
  return true;
}

/// Once: an interval that follows what the program does would look more often at its quiet times.
void ExposureSampler::choose_interval() {
  const duration<double> price(looking_ / double(kTrial));
  interval_ = std::max<duration<double>>(interval_, price / kMostShare);
}

void ExposureSampler::refresh() {
  if (Clock::now() - refreshed_ < kBetweenRefreshes) return;
  refreshed_ = Clock::now();
  ProcessEvidence now = process_->look();
  if (now.modules.empty()) return;
  seen_ = std::move(now);
  reader_->set_mappings(seen_.mappings);
}

/// Memory that was mapped since the last refresh may be shared with other processes.
void ExposureSampler::leave_out_shared() {
  const bool doubtful = std::any_of(held_.begin(), held_.end(), [&](const HeldNow& now) {
    return !reader_->is_mapped(now.lock) || (now.flags & record::kLockPshared) != 0;
  });
  if (doubtful || Clock::now() - refreshed_ > kMappingsLast) refresh();
  std::erase_if(held_, [&](const HeldNow& now) { return reader_->is_shared(now.lock); });
}

void ExposureSampler::learn(const std::vector<HeldNow>& held) {
  for (const HeldNow& now : held) {
    if (!counter_.knows_thread(now.tid)) counter_.thread(thread(now.tid));
    if (now.caller == 0 || !counter_.wants_site(now.lock, now.caller)) continue;
    if (!covers(seen_.modules, now.caller)) refresh();
    counter_.site(now.lock, now.caller, reader_->acquired(now, seen_.modules));
  }
}

/// With the kernel's name for it where the library was not told one.
HolderThread ExposureSampler::thread(std::int32_t tid) const {
  HolderThread thread = reader_->thread(tid);
  if (!thread.name.empty() || seen_.own_pid != seen_.pid) return thread;
  std::string name = read_small_file(fmt::format("/proc/{}/task/{}/comm", pid_, tid));
  if (!name.empty() && name.back() == '\n') name.pop_back();
  if (name != seen_.name) thread.name = name;
  return thread;
}

Exposure ExposureSampler::result(Namer& namer, std::size_t most) {
  ExposureFacts facts = facts_;
  facts.mean_interval = interval_.count();
  if (reader_) {
    facts.torn = reader_->torn();
    facts.threads = reader_->threads();
    facts.dropped_locks = reader_->dropped();
  }
  return counter_.result(facts, namer, seen_.modules, most);
}

}  // namespace forkscope::cli
