// The functions behind the interposers of detector/record/unsafe_calls.def, by their number.
//
// A table of its own beside real(): the loader calls malloc before any constructor runs, when
// looking up everything would be too much, and assembler jumps through it. Looked up by the
// constructor, or one by one by who comes before. Thread-safe: looking up twice writes the same.
#pragma once

#include <cstddef>

#include "detector/record/unsafe_calls.hpp"

extern "C" [[gnu::visibility("hidden")]] void* forkscope_next[forkscope::record::kUnsafeCallCount];

namespace forkscope {

void look_up_next(record::UnsafeCall call);
/// All that the table has interposers for.
void look_up_next();

/// The next definition, as a function of the given type.
template <typename Function>
[[gnu::always_inline]] inline Function* next(record::UnsafeCall call) {
  void*& entry = forkscope_next[std::size_t(call)];
  if (entry == nullptr) [[unlikely]]
    look_up_next(call);
  return reinterpret_cast<Function*>(entry);
}

}  // namespace forkscope
