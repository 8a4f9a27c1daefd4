#include "detector/tracker/stack.hpp"

#include <algorithm>
#include <boost/stacktrace/safe_dump_to.hpp>

#include "detector/record/record.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope {

std::uint16_t walk_stack(std::uint64_t* to, std::size_t size, const void* skip_to) {
  constexpr std::size_t kOwnFrames = 8;
  constexpr std::size_t kMax = record::kMaxFrames + kOwnFrames;
  std::uint64_t frames[kMax + 1];
  std::size_t wanted = std::min(kMax, size + kOwnFrames) + 1;
  std::size_t count = boost::stacktrace::safe_dump_to(frames, wanted * sizeof frames[0]);
  if (count > wanted) count = wanted;
  if (count > 0 && frames[count - 1] == 0) --count;  // Boost ends the dump with a null frame
  std::size_t first = 0;
  while (first < count && frames[first] != reinterpret_cast<std::uint64_t>(skip_to)) ++first;
  if (first == count) first = 0;
  count = std::min(count - first, size);
  for (std::size_t i = 0; i < count; ++i) to[i] = frames[first + i];
  return std::uint16_t(count);
}

std::size_t whole_stack(std::uint64_t* to, std::size_t size) {
  std::size_t count =
      std::min(boost::stacktrace::safe_dump_to(to, size * sizeof to[0]), size);
  if (count > 0 && to[count - 1] == 0) --count;
  return count;
}

std::uint64_t readable_stack_end(const ThreadRecord& thread, std::uint64_t sp) {
  constexpr std::uint64_t kAboveFirstFrame = 256, kPage = 4096;
  const bool own = sp - thread.stack_low < thread.stack_high - thread.stack_low;
  return own ? thread.stack_high + kAboveFirstFrame : (sp / kPage + 1) * kPage;
}

void warm_up_stack() {
  std::uint64_t frames[4];
  walk_stack(frames, 4, nullptr);
}

}  // namespace forkscope
