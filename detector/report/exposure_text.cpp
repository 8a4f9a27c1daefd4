#include <fmt/format.h>

#include <algorithm>

#include "detector/report/layout.hpp"
#include "detector/report/print_exposure.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostFrames = 3;
constexpr std::size_t kIndent = 11;  // of the words on a lock
constexpr int kLeastRoom = 30;

/// "31.2 %", "0.04 %": as many digits as mean something.
std::string percent(double share) {
  const double value = 100 * share;
  if (value == 0 || value == 100) return fmt::format("{:.0f} %", value);
  if (value > 99.94) return "> 99.9 %";
  if (value >= 9.95) return fmt::format("{:.1f} %", value);
  return fmt::format("{:.{}f} %", value, value >= 0.095 ? 2 : value >= 0.0095 ? 3 : 4);
}

std::string limits(const Proportion& p) {
  std::string low = percent(p.low), high = percent(p.high);
  return low.substr(0, low.size() - 2) + " to " + high;
}

std::string one_in(double share) {
  if (share <= 0 || share > 0.95) return "";
  const double forks = 1 / share;
  return fmt::format(", one in {:.{}f}", forks, forks < 10 ? 1 : 0);
}

std::string holder_words(const ExposedLock& exposed) {
  if (exposed.holders.empty()) return "";
  const ExposedLock::Holder& first = exposed.holders.front();
  std::string text = "held by " + thread_words(first.tid, first.name);
  if (first.start && !first.start->function.empty())
    text += ", start routine " + first.start->function;
  if (const std::size_t others = exposed.holders.size() - 1; others > 0)
    text += fmt::format(", and {} other{}", others, others == 1 ? "" : "s");
  if (exposed.evidence == "waited-last") text += ", inferred: it waited last and did not post";
  return text;
}

std::string lock_text(const ExposedLock& exposed, const TextOptions& options) {
  const std::string margin(kIndent, ' ');
  const int room = std::max(options.width, int(kIndent) + kLeastRoom);
  const std::string share = fmt::format("{:>9}", percent(exposed.probability.share));
  std::string text = fmt::format("{}  {:<17} {}\n", styled(share, Style::kWarning, options),
                                 limits(exposed.probability), printable(lock_words(exposed.lock)));
  text += wrapped(holder_words(exposed), kIndent, room);
  if (exposed.sites.empty()) return text;
  const std::size_t others = exposed.sites.size() - 1;
  const std::string more =
      others == 0 ? ""
                  : fmt::format(" (most often; {} other place{})", others, others == 1 ? "" : "s");
  text += fmt::format("{}taken at{}\n", margin, more);
  const std::string lines = stack_lines(exposed.sites.front().acquired, kIndent + 2, room,
                                        {.all = options.verbose, .most = 20});
  if (options.verbose) return text + lines;
  // The innermost tell which place it is; the rest is an option away.
  std::size_t end = 0;
  for (std::size_t i = 0; i < kMostFrames && end < lines.size(); ++i)
    end = lines.find('\n', end) + 1;
  return text + lines.substr(0, end);
}

std::string answer(const Exposure& exposure, const TextOptions& options) {
  const Proportion &any = exposure.any, &with_semaphores = exposure.any_with_semaphores;
  if (any.looks == 0) return "It was not looked at even once.\n";
  const bool semaphores = with_semaphores.hits != any.hits;
  std::string text =
      any.hits == 0
          ? fmt::format(
                "No look found a lock held{}: that a fork at a random moment orphans one has "
                "a probability below {} (95 %).",
                semaphores ? ", but for semaphores" : "", percent(any.high))
          : fmt::format("A fork at a random moment would orphan at least one lock: {} ({}){}.",
                        percent(any.share), limits(any), one_in(any.share));
  text = wrapped(text, 0, options.width);
  if (semaphores)
    text += wrapped(fmt::format("With semaphores, some of which may be signals and no locks, at "
                                "most: {} ({}).",
                                percent(with_semaphores.share), limits(with_semaphores)),
                    0, options.width);
  return text;
}

std::string remarks(const Exposure& exposure, const TextOptions& options) {
  const ExposureFacts& facts = exposure.facts;
  std::string text;
  const auto remark = [&](const std::string& sentence) {
    text += wrapped(sentence, 0, options.width);
  };
  if (facts.end == "image") remark("The process began another program.");
  if (facts.lost > 0)
    remark(fmt::format("{} of {} looks gave nothing, because the tables changed under them.",
                       facts.lost, facts.lost + exposure.any.looks));
  if (facts.dropped_locks > 0)
    remark(
        fmt::format("Threads hold {} locks that their tables have no room for: they are missing "
                    "here.",
                    facts.dropped_locks));
  if (exposure.uncounted > 0)
    remark("There are more locks than can be counted one by one; the first line has them all.");
  return text;
}

}  // namespace

std::string exposure_text(const Exposure& exposure, const TextOptions& options) {
  const ExposureFacts& facts = exposure.facts;
  std::string name = facts.program.empty() ? "" : " (" + base_name(printable(facts.program)) + ")";
  std::string text = wrapped(
      fmt::format("process {}{}, {} thread{}: {} looks in {:.1f} s, worth {:.0f} independent ones",
                  facts.pid, name, facts.threads, facts.threads == 1 ? "" : "s", exposure.any.looks,
                  facts.seconds, exposure.any.effective_looks),
      0, options.width);
  text += answer(exposure, options);
  const std::size_t shown =
      options.verbose ? exposure.locks.size() : std::min(kMostExposedLocks, exposure.locks.size());
  if (shown > 0) {
    text +=
        "\n" +
        styled(fmt::format("{:>9}  {:<17} {}", "share", "95 %", "lock"), Style::kLabel, options) +
        "\n";
    for (std::size_t i = 0; i < shown; ++i) text += lock_text(exposure.locks[i], options);
  }
  if (shown < exposure.locks.size())
    text += fmt::format("{} more (--verbose, --json)\n", exposure.locks.size() - shown);
  const std::string more = remarks(exposure, options);
  return text + (more.empty() ? "" : "\n" + more);
}

}  // namespace forkscope
