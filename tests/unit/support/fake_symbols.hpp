// A Namer and Unwinders that know what a test tells them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope::test {

class FakeNamer : public Namer {
 public:
  /// `inlined` functions, innermost first, share the address with `function`.
  void function(std::uint64_t address, const std::string& function,
                const std::vector<std::string>& inlined = {}) {
    functions_[address] = inlined;
    functions_[address].push_back(function);
  }
  void variable(std::uint64_t address, const std::string& symbol) { variables_[address] = symbol; }

  std::vector<Frame> code(std::uint64_t address, bool call,
                          const std::vector<ModuleRecord>& modules) override {
    asked_as_call[address] = call;
    Frame frame;
    frame.address = address;
    for (const ModuleRecord& module : modules) {
      if (address < module.start || address >= module.end) continue;
      frame.module = module.path;
      frame.offset = address - module.bias;
    }
    const auto known = functions_.find(address);
    if (known == functions_.end()) return {frame};
    std::vector<Frame> frames;
    for (std::size_t i = 0; i < known->second.size(); ++i) {
      frame.function = known->second[i];
      frame.inlined = i + 1 < known->second.size();
      frames.push_back(frame);
    }
    return frames;
  }

  void data(LockInfo& lock, const std::vector<ModuleRecord>& modules) override {
    const auto known = variables_.find(lock.address);
    if (known == variables_.end()) return;
    lock.symbol = known->second;
    for (const ModuleRecord& module : modules) {
      if (lock.address < module.start || lock.address >= module.end) continue;
      lock.module = module.path;
      lock.offset = lock.address - module.bias;
    }
  }

  std::map<std::uint64_t, bool> asked_as_call;

 private:
  std::map<std::uint64_t, std::vector<std::string>> functions_;
  std::map<std::uint64_t, std::string> variables_;
};

/// An unwinder that always finds the same stack.
inline Unwinder always(std::vector<std::uint64_t> addresses, bool complete = true) {
  return [stack = UnwoundStack{std::move(addresses), complete}](
             const record::Registers&, const std::vector<MemoryBytes>&,
             const std::vector<ModuleRecord>&) { return stack; };
}

inline std::vector<std::string> functions(const std::vector<Frame>& stack) {
  std::vector<std::string> names;
  for (const Frame& frame : stack) names.push_back(frame.function);
  return names;
}

}  // namespace forkscope::test
