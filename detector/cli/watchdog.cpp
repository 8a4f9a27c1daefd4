#include "detector/cli/watchdog.hpp"

#include <time.h>

#include <algorithm>
#include <utility>

#include "detector/cli/threads.hpp"

namespace forkscope::cli {
namespace {

/// Bytes of records from which on they are looked into only when nothing was written for a while.
constexpr std::uint64_t kManyRecords = 1 << 20;
constexpr std::chrono::seconds kQuietRecords{2};

using namespace std::chrono_literals;

constexpr auto kLongestRound = 1s;
constexpr auto kShortestRound = 1ms;
// What ran before a round and waits for ever in it is looked at again after this part of an
// interval, so that it is told within one and a half, with time to find out and to say what it is.
constexpr int kConfirmPart = 4;
/// The first rounds follow sooner: programs fork when they begin.
constexpr int kFirstRoundPart = 8;
constexpr auto kLongestPause = 5s;  ///< between two looks in vain
constexpr std::size_t kPlacesKept = 4;
/// Looking for new processes may take this part of the time at most.
constexpr int kPausePerSearch = 50;
constexpr auto kRecordsPause = 1s;
/// So many rounds elsewhere, and it was no deadlock: a handler of a signal comes back sooner.
constexpr int kRoundsElsewhere = 3;

// When a child is taken for one that spins: ready to run for nine tenths of this time and more.
constexpr auto kSpinStretch = 3s;
constexpr double kSpinShare = 0.9;
constexpr auto kSpinPause = 10s;  ///< after sampling in vain; doubles
constexpr int kMostDoublings = 3;

/// Processor time of this thread: what a search really cost, on a machine that is busy with others.
std::chrono::nanoseconds thread_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

Watchdog::Watchdog(const ArenaFile& arena, Settings settings)
    : arena_(arena),
      settings_(std::move(settings)),
      judge_(arena, settings_.judge),
      interval_(settings_.interval / kFirstRoundPart) {}

Watchdog::~Watchdog() { stop(); }

void Watchdog::start() {
  judge_.start();
  thread_ = start_thread("hangs that only the watchdog sees are no longer reported",
                         [this] { run(); });
}

void Watchdog::watch(pid_t program) {
  {
    std::lock_guard lock(mutex_);
    program_ = program;
  }
  wake_.notify_one();
}

void Watchdog::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  judge_.stop();
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  const auto stopped = [this] { return stopping_; };
  wake_.wait(lock, [this] { return stopping_ || program_ != 0; });
  if (!stopping_) add(program_);
  while (!stopping_) {
    lock.unlock();
    const bool busy = round();
    const auto longest =
        busy ? settings_.interval
             : std::max<std::chrono::milliseconds>(kLongestRound, settings_.interval);
    interval_ = std::min(std::max(interval_ * 2, kShortestRound), longest);
    lock.lock();
    const auto next = Clock::now() + interval_;
    if (!unconfirmed_.empty()) {
      if (wake_.wait_for(lock, std::min(settings_.interval / kConfirmPart, interval_), stopped))
        return;
      lock.unlock();
      confirm();
      lock.lock();
    }
    // Rounds are rare while nothing happens; a fork is seen all the same, for the price of a load.
    do {
      wake_.wait_until(lock, std::min<Clock::time_point>(next, Clock::now() + settings_.interval),
                       stopped);
    } while (!stopping_ && Clock::now() < next && !forked_since_round());
  }
}

bool Watchdog::forked_since_round() const {
  return arena_.used() != used_ || arena_.forks() != forks_;
}

bool Watchdog::round() {
  take_answers();
  const std::uint64_t used = arena_.used(), forks = arena_.forks();
  bool busy = used != used_ || forks != forks_;
  children_wanted_ = children_wanted_ || busy;
  used_ = used;
  forks_ = forks;
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto pulse = at->second.process->pulse();
    if (!pulse) {
      at = entries_.erase(at);
      busy = true;
      continue;
    }
    busy = poll(at->second, *pulse) || busy;
    ++at;
  }
  // After the pulses: they say who may have forked.
  const auto now = Clock::now();
  if ((children_wanted_ || now >= children_again_) && now >= children_not_before_)
    look_for_children();
  // A copy of many records is large: not while more are being written.
  if (busy && used > kManyRecords)
    records_not_before_ = std::max(records_not_before_, now + kQuietRecords);
  if (used != used_by_records_ && now >= records_not_before_) look_into_records();
  return busy;
}

/// Whether it did something, or the judge is at it.
bool Watchdog::poll(Entry& entry, const Pulse& pulse) {
  const bool ran = pulse != entry.pulse;
  entry.pulse = pulse;
  entry.searched = entry.searched && !ran;
  if (!entry.process->forked()) return ran;
  watch_for_spin(entry);
  if (entry.found_at && (ran || entry.elsewhere > 0)) watch_for_return(entry);
  if (ran) {
    entry.settled = entry.waits_out = false;
    if (!entry.asked) note_if_waiting(entry);
    return true;
  }
  if (!entry.settled && !entry.asked && !(entry.waits_out && Clock::now() < entry.not_before))
    consider(entry);
  return entry.asked;
}

/// It ran a moment ago: if it waits for ever now, a part of a round will show whether it does.
void Watchdog::note_if_waiting(Entry& entry) {
  const auto place = entry.process->place();
  if (!place || (!place->for_ever_in_futex && entry.process->thread_count() == 1)) return;
  unconfirmed_.push_back(entry.process->id().pid);
  if (!std::exchange(entry.prepared, true)) judge_.prepare(entry.process->id(), true);
}

void Watchdog::confirm() {
  for (pid_t pid : std::exchange(unconfirmed_, {})) {
    const auto at = entries_.find(pid);
    if (at == entries_.end()) continue;
    Entry& entry = at->second;
    const auto pulse = entry.process->pulse();
    if (pulse && *pulse == entry.pulse && !entry.settled && !entry.asked) consider(entry);
  }
}

/// It has slept for a while. Is that worth a look?
void Watchdog::consider(Entry& entry) {
  if (entry.process->is_probe()) {
    entry.settled = true;
    return;
  }
  const auto place = entry.process->place();
  if (!place) {
    // Ready to run, without a processor; ended; or we may not know.
    entry.settled = !alive(entry.process->id());
    return;
  }
  if (!place->for_ever_in_futex && entry.process->thread_count() == 1) {
    entry.settled = true;
    return;
  }
  const bool known =
      std::find(entry.places.begin(), entry.places.end(), *place) != entry.places.end();
  if (known && Clock::now() < entry.not_before) {
    entry.waits_out = true;
    return;
  }
  if (!known) {
    if (entry.places.size() == kPlacesKept) entry.places.erase(entry.places.begin());
    entry.places.push_back(*place);
    entry.in_vain = 0;
  }
  entry.asked_at = *place;
  entry.asked = entry.settled = true;
  judge_.ask(entry.process->id());
}

void Watchdog::take_answers() {
  for (const WatchJudge::Answered& answer : judge_.take_answers()) {
    const auto at = entries_.find(answer.process.pid);
    if (at == entries_.end() || at->second.process->id().start != answer.process.start) continue;
    Entry& entry = at->second;
    const auto now = Clock::now();
    if (answer.spin) {
      entry.spin_asked = false;
      entry.spins = answer.found;
      entry.no_spin_before =
          now + kSpinPause * (1 << std::min(entry.spin_in_vain++, kMostDoublings));
      continue;
    }
    entry.asked = false;
    if (answer.found) {
      entry.found_at = entry.asked_at;
      entry.elsewhere = 0;
    }
    const auto longest = std::chrono::duration_cast<std::chrono::milliseconds>(kLongestPause);
    entry.not_before =
        now + std::min(longest, settings_.interval * (2 << std::min(entry.in_vain++, 9)));
    if (!answer.final) {
      entry.settled = false;
      entry.waits_out = true;
    }
  }
}

void Watchdog::watch_for_return(Entry& entry) {
  if (entry.process->place() == entry.found_at) {
    entry.elsewhere = 0;
    return;
  }
  if (++entry.elsewhere < kRoundsElsewhere) return;
  entry.found_at.reset();
  judge_.went_on(entry.process->id());
}

void Watchdog::watch_for_spin(Entry& entry) {
  const auto now = Clock::now();
  const auto stretch = now - entry.stretch_begin;
  if (stretch < kSpinStretch) return;
  // Also in line for a processor: on a machine that is busy, a loop gets its share only.
  const double ready = double(entry.pulse.ran - entry.stretch_pulse.ran) +
                       double(entry.pulse.in_line - entry.stretch_pulse.in_line);
  const bool first = entry.stretch_begin == Clock::time_point{};
  const bool spins =
      !first && entry.pulse.ran != entry.stretch_pulse.ran &&
      ready >= kSpinShare *
                   double(std::chrono::duration_cast<std::chrono::nanoseconds>(stretch).count());
  entry.stretch_begin = now;
  entry.stretch_pulse = entry.pulse;
  if (!spins) {
    if (std::exchange(entry.spins, false)) judge_.went_on(entry.process->id());
    return;
  }
  if (entry.spins || entry.spin_asked || now < entry.no_spin_before || entry.process->is_probe())
    return;
  entry.spin_asked = true;
  judge_.ask_spin(entry.process->id());
}

void Watchdog::add(pid_t pid) {
  if (entries_.contains(pid)) return;
  auto process = WatchedProcess::open(pid);
  const auto pulse = process ? process->pulse() : std::nullopt;
  if (!pulse) return;
  Entry& entry = entries_[pid];
  entry.process = std::move(process);
  entry.pulse = *pulse;
  if (entry.process->forked()) note_if_waiting(entry);
}

void Watchdog::look_for_children() {
  children_wanted_ = false;
  const auto begin = thread_time();
  std::vector<pid_t> parents;
  for (const auto& [pid, entry] : entries_) parents.push_back(pid);
  while (!parents.empty()) {
    Entry& entry = entries_.at(parents.back());
    parents.pop_back();
    // One thread, and it has not run: it forked nobody.
    if (entry.searched && !entry.several) continue;
    const std::size_t threads = entry.process->thread_count();
    // Who has threads and forks may leave some behind.
    if (threads > 1 && !entry.several) judge_.prepare(entry.process->id(), false);
    entry.several = threads > 1;
    entry.searched = true;
    for (pid_t child : entry.process->children(threads)) {
      if (entries_.contains(child)) continue;
      add(child);
      if (entries_.contains(child)) parents.push_back(child);
    }
  }
  const auto now = Clock::now();
  children_not_before_ = now + (thread_time() - begin) * kPausePerSearch;
  children_again_ = now + kLongestRound;
}

/// Children whose parent ended before we saw them are nobody's in /proc.
void Watchdog::look_into_records() {
  const auto begin = thread_time();
  used_by_records_ = used_;
  try {
    for (const Process& process : living_processes(parse_session(arena_.snapshot())))
      add(process.pid);
  } catch (const std::exception&) {
    // The report meets the same error and says it, once.
  }
  records_not_before_ =
      Clock::now() +
      std::max<Clock::duration>(kRecordsPause, (thread_time() - begin) * kPausePerSearch);
}

}  // namespace forkscope::cli
