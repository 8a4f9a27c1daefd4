#include "detector/verdict/outside/component.hpp"

#include <algorithm>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outside/thread_view.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// Namespaces and crates of locks, threads and the glue around them.
constexpr std::string_view kPrimitives[] = {
    "std",          "__gnu_cxx", "core",      "alloc",           "absl",
    "boost",        "folly",     "parking_lot", "parking_lot_core", "crossbeam",
    "crossbeam_channel", "crossbeam_utils", "lock_api", "once_cell", "futures", "event_listener"};

bool is_primitive(const std::string& name) {
  return std::find(std::begin(kPrimitives), std::end(kPrimitives), name) != std::end(kPrimitives);
}

std::optional<Component> component_of(const Frame& frame) {
  if (frame.module.empty() || is_libc_module(frame.module) || is_standard_library(frame))
    return std::nullopt;
  Component component{frame.module, namespace_of(frame.function)};
  if (is_primitive(component.name)) return std::nullopt;
  return component;
}

}  // namespace

std::string namespace_of(const std::string& function) {
  // Rust's "<rayon_core::latch::LockLatch as Latch>::set": what stands in front of the brackets'
  // end. Else a return type may stand before the name, and templates have arguments.
  const bool rust = function.starts_with('<');
  std::string head;
  int depth = 0;
  for (const char c : rust ? function.substr(function.find_first_not_of('<')) : function) {
    if (rust && (c == ' ' || c == '>' || c == '<')) break;
    if (c == '(' && depth == 0) break;
    if (c == '<') ++depth;
    if (depth == 0) head += c;
    if (c == '>' && depth > 0) --depth;
  }
  head = head.substr(head.find_last_of(" *&") + 1);
  const std::size_t colons = head.find("::");
  if (colons == std::string::npos) return {};
  return head.substr(0, colons);
}

std::string Component::words() const {
  return name.empty() ? base_name(module) : name + " in " + base_name(module);
}

std::optional<Component> waiting_component(const std::vector<Frame>& stack) {
  for (const Frame& frame : stack)
    if (auto component = component_of(frame)) return component;
  return std::nullopt;
}

std::optional<Component> outermost_component(const std::vector<Frame>& stack) {
  for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame)
    if (auto component = component_of(*frame)) return component;
  return std::nullopt;
}

bool runs(const std::vector<Frame>& stack, const Component& component) {
  return std::any_of(stack.begin(), stack.end(), [&](const Frame& frame) {
    return frame.module == component.module &&
           (component.name.empty() || namespace_of(frame.function) == component.name);
  });
}

bool may_miss_threads(const Component& component, const std::string& exe) {
  // Every thread that runs Python runs the interpreter.
  if (is_python_module(component.module)) return false;
  if (component.module != exe) return true;
  constexpr std::string_view kPools[] = {"rayon_core", "rayon", "tokio",
                                         "tbb",        "arrow", "grpc_core"};
  return std::find(std::begin(kPools), std::end(kPools), component.name) != std::end(kPools);
}

bool is_waiting_library(const std::string& path) {
  constexpr std::string_view kLibraries[] = {"libglib-2.",       "libQt5Core.", "libQt6Core.",
                                             "libboost_thread.", "libabsl_",    "libnspr4.",
                                             "libapr-1.",        "libuv."};
  const std::string name = base_name(path);
  return std::any_of(std::begin(kLibraries), std::end(kLibraries),
                     [&](std::string_view library) { return name.starts_with(library); });
}

bool is_inside_fork(const std::vector<Frame>& stack) {
  constexpr std::string_view kForks[] = {"fork", "__fork", "__libc_fork", "__run_postfork_handlers",
                                         "__run_fork_handlers"};
  return std::any_of(stack.begin(), stack.end(), [&](const Frame& frame) {
    return is_libc_module(frame.module) &&
           std::find(std::begin(kForks), std::end(kForks), frame.function) != std::end(kForks);
  });
}

bool may_park(const std::vector<Frame>& stack, const std::string& exe) {
  const Frame* frame = innermost_program_frame(stack);
  if (frame == nullptr || is_python_module(frame->module) || is_inside_fork(stack)) return false;
  const auto component = waiting_component(stack);
  if (!component) return true;
  return component->module == exe ? !may_miss_threads(*component, exe)
                                  : is_waiting_library(component->module);
}

}  // namespace forkscope
