// Findings of probes (--inject fork:probe). Pure but for Namer and Unwinder, as findings.hpp.
#pragma once

#include <vector>

#include "detector/verdict/findings.hpp"

namespace forkscope {

/// Adds a latent finding for each that a probe's child wrote. What another latent one says of the
/// same lock, because the run showed that it might happen, is taken out: this one was seen.
void add_probed(std::vector<Candidate>& candidates, const Context& context, const Unwinder& unwind);

}  // namespace forkscope
