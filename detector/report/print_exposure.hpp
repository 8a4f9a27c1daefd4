// Printers of an Exposure. No logic beyond layout. Pure functions; thread-safe.
#pragma once

#include <string>

#include "detector/report/print.hpp"
#include "detector/verdict/exposure.hpp"

namespace forkscope {

/// Locks in a text that is not verbose.
inline constexpr std::size_t kMostExposedLocks = 10;

/// The answer, then each lock with its interval, its holders and where it was taken; with
/// options.verbose all locks and whole stacks.
std::string exposure_text(const Exposure& exposure, const TextOptions& options);
/// schema forkscope.exposure/1, indented by 2, ends with a newline.
std::string exposure_json(const Exposure& exposure);

}  // namespace forkscope
