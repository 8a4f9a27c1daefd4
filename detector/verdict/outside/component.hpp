// Which part of a program a function belongs to: its module and, in languages that have them, its
// outermost namespace or crate. Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

struct Component {
  std::string module;  ///< path
  std::string name;    ///< "rayon_core"; empty: the function has no namespace, or no name
  bool operator==(const Component&) const = default;
  /// "rayon_core in libpolars.so"
  std::string words() const;
};

/// Of the innermost frame that is neither libc nor a library of locks and threads as such (the C++
/// and Rust standard libraries, Abseil, parking_lot, ...): those are on everybody's stack.
/// Nothing when there is no such frame.
std::optional<Component> waiting_component(const std::vector<Frame>& stack);

/// Of the outermost such frame: what the thread is there for.
std::optional<Component> outermost_component(const std::vector<Frame>& stack);

/// Whether any frame belongs to the component.
bool runs(const std::vector<Frame>& stack, const Component& component);

/// "rayon_core" of "<rayon_core::latch::LockLatch>::wait", "" of "main" and "f(std::string)".
std::string namespace_of(const std::string& function);

/// Whether the component has threads that only it needs. A library's threads are its own business.
/// The code of the program itself may be called by the threads of any library it uses (an event
/// loop's callback), so of it only known pools count.
bool may_miss_threads(const Component& component, const std::string& exe);

/// A library whose functions are there to wait with, for whatever the program likes.
bool is_waiting_library(const std::string& path);

/// fork() has not returned: what waits is an at-fork handler.
bool is_inside_fork(const std::vector<Frame>& stack);

/// Whether what waits there may do so for ever on purpose, as main() does that has left all work to
/// threads: the program's own code, or a library that is there to wait with. Not Python's, which is
/// judged by its handlers and its frames, and not an at-fork handler, which is there to return.
bool may_park(const std::vector<Frame>& stack, const std::string& exe);

}  // namespace forkscope
