#include "detector/report/json_parts.hpp"
#include "detector/report/print_exposure.hpp"

namespace forkscope {
namespace {

Json to_json(const Proportion& proportion) {
  return Json{{"share", proportion.share}, {"low", proportion.low},
              {"high", proportion.high},   {"looks", proportion.looks},
              {"hits", proportion.hits},   {"effective_looks", proportion.effective_looks}};
}

Json to_json(const ExposedLock& exposed) {
  Json holders = Json::array(), sites = Json::array();
  for (const ExposedLock::Holder& holder : exposed.holders)
    holders.push_back({{"tid", holder.tid},
                       {"name", text_or_null(holder.name)},
                       {"start", forkscope::to_json(holder.start)},
                       {"hits", holder.hits}});
  for (const ExposedLock::Site& site : exposed.sites)
    sites.push_back(
        {{"acquired", array(site.acquired)}, {"complete", site.complete}, {"hits", site.hits}});
  return Json{{"lock", forkscope::to_json(exposed.lock)},
              {"probability", to_json(exposed.probability)},
              {"evidence", exposed.evidence},
              {"holders", holders},
              {"sites", sites}};
}

}  // namespace

std::string exposure_json(const Exposure& exposure) {
  const ExposureFacts& facts = exposure.facts;
  Json locks = Json::array();
  for (const ExposedLock& lock : exposure.locks) locks.push_back(to_json(lock));
  return dumped(Json{{"schema", "forkscope.exposure/1"},
                     {"process",
                      {{"pid", facts.pid},
                       {"program", text_or_null(facts.program)},
                       {"command", facts.command},
                       {"threads", facts.threads}}},
                     {"end", text_or_null(facts.end)},
                     {"seconds", facts.seconds},
                     {"mean_interval", facts.mean_interval},
                     {"confidence", kConfidence},
                     {"any", to_json(exposure.any)},
                     {"any_with_semaphores", to_json(exposure.any_with_semaphores)},
                     {"locks", locks},
                     {"torn", facts.torn},
                     {"lost", facts.lost},
                     {"uncounted", exposure.uncounted},
                     {"dropped_locks", facts.dropped_locks},
                     {"sampler_cpu_seconds", facts.sampler_cpu}});
}

}  // namespace forkscope
