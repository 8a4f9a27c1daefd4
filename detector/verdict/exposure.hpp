// What a fork at a random moment would orphan, from looks at random moments at who holds what.
//
// A look at a moment that the program does not choose sees a lock held with the probability that a
// fork at such a moment orphans it, if the forking thread is not the holder: Poisson arrivals see
// time averages (Wolff 1982). So the share of looks that saw it held is the estimate; what it is
// worth, hit_series.hpp tells.
//
// Pure but for the Namer it is given; not thread-safe. Memory is bounded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "detector/record/record.hpp"
#include "detector/verdict/hit_series.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

/// A lock that a thread had at one look.
struct HeldNow {
  std::uint64_t lock = 0;
  record::LockType type = record::LockType::kUnknown;
  std::uint8_t flags = 0;    ///< record::LockFlags
  std::int32_t tid = 0;      ///< in the process's own PID namespace
  std::uint64_t caller = 0;  ///< return address of the acquire; 0: not known
};

/// A thread that was seen holding something.
struct HolderThread {
  std::int32_t tid = 0;
  std::string name;
  std::uint64_t start = 0;  ///< start routine, 0 of the main thread
};

struct ExposedLock {
  LockInfo lock;
  Proportion probability;
  std::string evidence;  ///< as HeldReport::evidence
  struct Holder {
    std::int32_t tid = 0;
    std::string name;
    std::optional<Frame> start;
    std::uint64_t hits = 0;
  };
  std::vector<Holder> holders;  ///< most often seen first
  struct Site {
    std::vector<Frame> acquired;  ///< innermost first; at least the call
    bool complete = false;
    std::uint64_t hits = 0;
  };
  std::vector<Site> sites;  ///< most often seen first
};

/// What the sampler knows beside what it counted.
struct ExposureFacts {
  std::int32_t pid = 0;
  std::string program;
  std::vector<std::string> command;
  std::size_t threads = 0;  ///< of the process, at the last look
  double seconds = 0;       ///< from the first look to the last
  double mean_interval = 0;
  std::uint64_t torn = 0;  ///< looks that were begun again, because a table changed under them
  std::uint64_t lost = 0;  ///< and given up, because it did so several times
  std::uint64_t dropped_locks =
      0;                   ///< locks held that the tables had no room for, at the last look
  double sampler_cpu = 0;  ///< seconds of processor time the looks took
  std::string end;         ///< "time" | "process" | "image" | "signal"; empty: it goes on
};

struct Exposure {
  ExposureFacts facts;
  Proportion any;  ///< at least one lock, without those whose holder is inferred
  /// With them. A semaphore may be no lock at all, but a signal: this is an upper bound.
  Proportion any_with_semaphores;
  std::vector<ExposedLock> locks;  ///< most probable first
  std::uint64_t uncounted = 0;     ///< holds of locks beyond those there was room to count
};

class ExposureCounter {
 public:
  /// The locks that were held at one look, each with each of its holders.
  void add(const std::vector<HeldNow>& held);

  std::uint64_t looks() const { return looks_; }
  bool knows_thread(std::int32_t tid) const { return threads_.contains(tid); }
  void thread(HolderThread thread) { threads_[thread.tid] = std::move(thread); }
  /// Whether a stack for this site is wanted: seen, without one, and there is room.
  bool wants_site(std::uint64_t lock, std::uint64_t caller) const;
  void site(std::uint64_t lock, std::uint64_t caller, UnwoundStack stack);

  /// The `most` probable locks have names, holders and sites. `modules` may have been unloaded
  /// since.
  Exposure result(const ExposureFacts& facts, Namer& namer,
                  const std::vector<ModuleRecord>& modules, std::size_t most = SIZE_MAX) const;

 private:
  struct Lock {
    HeldNow last;
    HitSeries series;
    std::map<std::int32_t, std::uint64_t> holders;  ///< hits by TID
    struct Site {
      std::uint64_t hits = 0;
      UnwoundStack stack;
    };
    std::map<std::uint64_t, Site> sites;  ///< by caller
  };
  static constexpr std::size_t kMostLocks = 4096, kMostHolders = 256, kMostSites = 32,
                               kMostStacks = 512;

  void name(ExposedLock& exposed, const Lock& lock, Namer& namer,
            const std::vector<ModuleRecord>& modules) const;

  std::uint64_t looks_ = 0, uncounted_ = 0;
  std::size_t stacks_ = 0;
  HitSeries any_, with_semaphores_;
  std::map<std::uint64_t, Lock> locks_;  ///< by address; another type begins anew
  std::map<std::int32_t, HolderThread> threads_;
};

}  // namespace forkscope
