#include "detector/verdict/outside/component.hpp"

#include <algorithm>
#include <string_view>

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

bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
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
  // A return type or qualifiers may stand before the name; parameters begin at the first '('.
  const std::string head = function.substr(0, function.find('('));
  const std::size_t colons = head.find("::");
  if (colons == std::string::npos) return {};
  std::size_t begin = colons;
  while (begin > 0 && is_identifier(head[begin - 1])) --begin;
  return head.substr(begin, colons - begin);
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

}  // namespace forkscope
