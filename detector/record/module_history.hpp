// Which modules lay where in the processes of a session, at any time of it: a library may come to lie
// where another was unloaded, and an address in a record means what lay there when it was written.
//
// Not thread-safe; runs in the command only.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "detector/record/session.hpp"

namespace forkscope {

inline constexpr std::uint64_t kEndOfSession = ~std::uint64_t{0};

/// Refers to the session.
class ModuleHistory {
 public:
  explicit ModuleHistory(const Session& session);

  /// Equal where modules() gives the same.
  using Period = std::tuple<std::int32_t, std::uint32_t, std::size_t>;
  Period period(std::int32_t pid, std::uint32_t image, std::uint64_t offset) const;
  /// The modules that were mapped where `pid` (an image of which is `image`) ran when the record at
  /// `offset` was written: the newest before it of the process's own records, then of its ancestors'
  /// before they forked, then others of the image. Main-program paths are filled in.
  std::vector<ModuleRecord> modules(std::int32_t pid, std::uint32_t image,
                                    std::uint64_t offset) const;

 private:
  struct Image {
    std::vector<const ModuleRecord*> modules;  ///< in the order they were written
    bool ambiguous = false;  ///< different objects lay at the same addresses
  };
  struct Birth {
    std::uint64_t offset;  ///< of the fork's record
    std::int32_t parent;
  };
  struct Process {
    std::vector<Birth> births;         ///< more than one where a pid was used again
    std::vector<std::uint64_t> noted;  ///< offsets of the records of modules it wrote
  };
  std::map<std::uint32_t, Image> images_;
  std::map<std::pair<std::int32_t, std::uint32_t>, Process> processes_;  ///< by pid and image
};

}  // namespace forkscope
