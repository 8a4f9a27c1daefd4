#include "detector/verdict/runtime.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/thread_view.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// An interpreter or a virtual machine: its executables, and the libraries that it is embedded by.
struct Machine {
  Runtime runtime;
  std::initializer_list<std::string_view> executables;  ///< digits and dots may follow
  std::initializer_list<std::string_view> libraries;    ///< beginnings of file names
};

const Machine kMachines[] = {
    {Runtime::kPython, {"python", "pypy"}, {"libpython", "libpypy"}},
    {Runtime::kRuby, {"ruby"}, {"libruby.so", "libruby-"}},
    {Runtime::kNode, {"node", "nodejs"}, {"libnode.so"}},
    {Runtime::kPhp, {"php", "php-fpm", "php-cgi", "phpdbg"}, {"libphp"}},
    {Runtime::kPerl, {"perl"}, {"libperl.so"}},
    {Runtime::kR, {"R", "Rscript"}, {"libR.so"}},
    {Runtime::kJvm, {"java"}, {"libjvm.so"}},
    {Runtime::kDotnet, {"dotnet"}, {"libcoreclr.so"}},
};

/// "python", "python3", "python3.11": the name and then only digits and dots.
bool is_interpreter(std::string_view name, std::string_view interpreter) {
  if (!name.starts_with(interpreter)) return false;
  name.remove_prefix(interpreter.size());
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isdigit(c) || c == '.'; });
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view beginning) { return text.starts_with(beginning); });
}

/// Whether a frame of any of the finding's stacks is so.
template <typename Is>
bool any_frame(const Finding& finding, Is&& is) {
  for (const auto* stack : {&finding.waiter.stack, &finding.fork_stack, &finding.holder.acquired})
    if (std::any_of(stack->begin(), stack->end(), is)) return true;
  return finding.holder.start && is(*finding.holder.start);
}

/// The names that only Rust's compiler gives, of both of its manglings; "<T as Trait>::f" too.
bool is_rust_function(const std::string& name) {
  return name.find("{{closure}}") != std::string::npos ||
         name.find("{closure#") != std::string::npos ||
         (name.starts_with('<') && name.find(" as ") != std::string::npos) ||
         starts_with_any(name, {"std::rt::", "std::sys::", "std::sys_common::", "std::panicking::",
                                "std::sync::poison::", "std::sync::once_lock::",
                                "std::sync::lazy_lock::", "core::ops::function::", "__rust_",
                                "rayon_core::", "parking_lot::", "parking_lot_core::"});
}

bool is_d_frame(const Frame& frame) {
  return (frame.function.size() > 2 && frame.function.starts_with("_D") &&
          std::isdigit(static_cast<unsigned char>(frame.function[2]))) ||
         starts_with_any(frame.function, {"_Dmain", "core.thread.", "core.internal.gc.",
                                          "rt.dmain2.", "std.parallelism.", "std.concurrency."}) ||
         starts_with_any(base_name(frame.module), {"libphobos2", "libdruntime", "libgphobos",
                                                   "libgdruntime"});
}

/// The runtime's functions, and those that the compiler makes of a module: "camlUnix__fork_1".
bool is_ocaml_function(const std::string& name) {
  return name.starts_with("caml_") ||
         (name.size() > 4 && name.starts_with("caml") &&
          std::isupper(static_cast<unsigned char>(name[4])));
}

/// Go's runtime makes its calls in functions of its own, in a program or in a C library. One name
/// is none: any program may have a function "runtime.futex" by way of its compiler's suffixes.
bool has_go(const std::vector<Frame>& stack) {
  return std::count_if(stack.begin(), stack.end(), [](const Frame& frame) {
           return frame.function.starts_with("runtime.");
         }) >= 2;
}

bool is_language_library(const std::string& path) {
  return starts_with_any(base_name(path), {"libstd-", "libphobos2", "libdruntime", "libgphobos",
                                           "libgdruntime"}) ||
         is_runtime_module(path);
}

/// "std::io::stdio::STDOUT", "(anonymous namespace)::emergency_pool" of libstdc++.
bool is_standard_variable(const std::string& symbol) {
  return starts_with_any(symbol, {"std::", "core::", "alloc::", "__gnu_cxx::", "__cxxabiv1::"});
}

}  // namespace

bool is_openmp_module(const std::string& path) {
  return is_library(path, "libgomp") || is_library(path, "libomp") ||
         is_library(path, "libomp5") || is_library(path, "libiomp5");
}

Runtime runtime_of(const std::string& executable, const Finding& finding) {
  const std::string name = base_name(executable);
  for (const Machine& machine : kMachines)
    for (std::string_view program : machine.executables)
      if (is_interpreter(name, program)) return machine.runtime;
  if (!finding.waiter.python.empty()) return Runtime::kPython;
  for (const Machine& machine : kMachines) {
    const auto of_machine = [&](const std::string& path) {
      return starts_with_any(base_name(path), machine.libraries);
    };
    if (of_machine(finding.lock.module) ||
        any_frame(finding, [&](const Frame& frame) { return of_machine(frame.module); }))
      return machine.runtime;
  }
  if (has_go(finding.waiter.stack) || has_go(finding.fork_stack)) return Runtime::kGo;
  // A library that is written in these has its users do as they do.
  const auto in_program = [&](auto is) {
    return any_frame(finding, [&](const Frame& frame) {
      return (executable.empty() || frame.module == executable || is_language_library(frame.module)) &&
             is(frame);
    });
  };
  if (in_program([](const Frame& frame) { return is_rust_function(frame.function); }))
    return Runtime::kRust;
  if (in_program(is_d_frame)) return Runtime::kD;
  if (in_program([](const Frame& frame) { return is_ocaml_function(frame.function); }))
    return Runtime::kOcaml;
  const auto& stack = finding.waiter.stack;
  if (is_openmp_module(finding.lock.module) ||
      std::any_of(stack.begin(), stack.end(),
                  [](const Frame& frame) { return is_openmp_module(frame.module); }))
    return Runtime::kOpenMp;
  return Runtime::kNative;
}

OwnedBy owner_of(const std::string& executable, const Finding& finding) {
  if (is_standard_variable(finding.lock.symbol)) return {Owner::kRuntime, finding.lock.module};
  std::string module = finding.lock.module;
  if (module.empty()) {  // on a heap or a stack: who waits there tells
    for (const Frame& frame : finding.waiter.stack) {
      if (frame.module.empty() || is_language_library(frame.module) || is_standard_library(frame) ||
          is_waiting_library(frame.module))
        continue;
      module = frame.module;
      break;
    }
  }
  if (module.empty() || module == executable ||
      base_name(module).find(".so") == std::string::npos)
    return {};
  return {is_language_library(module) ? Owner::kRuntime : Owner::kLibrary, module};
}

}  // namespace forkscope
