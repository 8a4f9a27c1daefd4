// The parent of a measurement as its spec says: memory, threads, descriptors, mappings, handlers.
//
// Limits are looked up before anything is made; what does not fit is a Skip with one sentence.
// Built in the main thread of a process that measures one case and ends. Not thread-safe.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <thread>
#include <vector>

#include "bench/cost/spec.hpp"

namespace forkscope::cost {

/// The case cannot be measured here, and why.
struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class ParentState {
 public:
  explicit ParentState(const Spec& spec);
  ~ParentState();
  ParentState(const ParentState&) = delete;
  ParentState& operator=(const ParentState&) = delete;

  char* memory() const { return memory_; }
  std::size_t size() const { return size_; }

 private:
  void make_memory(const Spec& spec);
  void make_mappings(std::size_t count);
  void open_descriptors(std::size_t count);
  void start_threads(std::size_t count);

  char* memory_ = nullptr;
  std::size_t size_ = 0;
  int gate_[2] = {-1, -1};
  std::vector<pthread_t> threads_;
};

}  // namespace forkscope::cost
