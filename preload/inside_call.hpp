// What the interposers of functions with a lock inside libc share: the thread is inside from
// before the call until after it, and in a child that lost threads the call is asked about first.
//
// Nothing is recorded of a thread that is unknown, or while a vfork child may be running as it.
// Async-signal-safe; each thread for itself.
#pragma once

#include "detector/tracker/inject.hpp"
#include "detector/tracker/inside.hpp"
#include "detector/tracker/learn.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/unsafe_calls.hpp"
#include "preload/unsafe_next.hpp"

namespace forkscope {

class InsideCallScope {
 public:
  [[gnu::always_inline]] InsideCallScope(record::UnsafeCall call, const void* caller,
                                         const void* cfa) {
    thread_ = detail::unguarded;
    if (thread_ == nullptr) [[unlikely]]
      ask(call, caller);
    if (thread_ == nullptr) return;
    depth_ = inside::enter(*thread_, call, caller, cfa);
    if (process.options.learn) [[unlikely]]
      learn::called(*thread_, call, caller);
  }
  [[gnu::always_inline]] ~InsideCallScope() {
    if (thread_ != nullptr) inside::leave(*thread_, depth_);
    if (finding_ != 0) [[unlikely]]
      unsafe_calls::came_back(finding_);
  }
  InsideCallScope(const InsideCallScope&) = delete;
  InsideCallScope& operator=(const InsideCallScope&) = delete;

 private:
  [[gnu::noinline]] void ask(record::UnsafeCall call, const void* caller) {
    thread_ = detail::self;
    if (thread_ == nullptr) return;
    if (thread_->vfork_open)
      thread_ = nullptr;
    else if (thread_->guarded)
      finding_ = unsafe_calls::meet(*thread_, call, caller);
    if (thread_ != nullptr) inject::enters(*thread_, call);
  }

  ThreadRecord* thread_;
  std::uint32_t depth_ = 0;
  std::uint64_t finding_ = 0;
};

/// What an interposer begins with.
#define FORKSCOPE_INSIDE(name)                                                    \
  ::forkscope::InsideCallScope inside_call(::forkscope::record::UnsafeCall::name, \
                                           __builtin_return_address(0), __builtin_dwarf_cfa())

}  // namespace forkscope
