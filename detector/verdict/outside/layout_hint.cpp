#include "detector/verdict/outside/layout_hint.hpp"

#include <algorithm>

#include "detector/verdict/outside/layout_functions.hpp"

namespace forkscope::layout {
namespace {

using enum LockFamily;

/// Names that say nothing about who waits.
bool is_transparent(std::string_view name) {
  return name.empty() || name == "syscall" || name == "lll_lock_wait" ||
         name.starts_with("futex") || name.find("futex_wait") != std::string_view::npos ||
         name.find("internal_syscall_cancel") != std::string_view::npos ||
         name.find("syscall_cancel") != std::string_view::npos || name == "syscall_cp" ||
         name == "timedwait" || name == "timedwait_cp" || name == "wait";
}

Reason of(const Known& entry) {
  Reason result;
  result.from = Reason::From::kFunction;
  result.families = entry.families;
  result.first = entry.first;
  result.type = entry.type;
  return result;
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(),
                     [&](std::string_view start) { return text.starts_with(start); });
}

void from_module(const WaitHint& hint, Reason& result) {
  using From = Reason::From;
  const bool in_libc = is_libc_module(hint.module);
  const std::string& module = in_libc ? hint.caller_module : hint.module;
  if (!in_libc && module.starts_with("libgomp.so")) {
    result = {From::kModule,
              {kGompBarrier, kGompLock, kSemaphore},
              kGompBarrier,
              "OpenMP barrier",
              false};
  } else if (result.through_syscall && starts_with_any(module, {"libabsl_"})) {
    result = {From::kModule, {kAbseil}, kAbseil, "Abseil's waiter", true};
  } else if (result.through_syscall && starts_with_any(module, {"libstdc++.so"})) {
    result = {From::kModule,
              {kStaticGuard, kAtomicWait},
              kStaticGuard,
              "initialisation of the static variable",
              true};
  }
}

}  // namespace

std::string plain_name(std::string_view function) {
  std::string result;
  if (auto end = function.find('@'); end != std::string_view::npos)
    function = function.substr(0, end);
  // Compilers append ".cold", ".constprop.0", ".llvm.123"; "..." and "{closure}" may come first.
  for (std::string_view suffix : {".cold", ".constprop", ".isra", ".part", ".lto_priv", ".llvm"})
    if (auto end = function.find(suffix); end != std::string_view::npos)
      function = function.substr(0, end);
  auto strip = [&] {
    while (function.starts_with('_')) function.remove_prefix(1);
  };
  strip();
  if (function.starts_with("GI_")) {
    function.remove_prefix(3);
    strip();
  }
  for (char c : function)
    if (c != '<' && c != '>') result += c;
  return result;
}

bool is_libc_module(std::string_view module) {
  return starts_with_any(module, {"libc.so", "libc-2.", "libpthread.so", "libpthread-2.",
                                  "ld-linux", "ld-2.", "ld.so", "ld64.so", "ld-musl", "librt"});
}

Reason reason(const WaitHint& hint) {
  constexpr std::size_t kDeepest = 24;  // inlined calls count as well
  Reason result;
  const auto& functions = hint.functions;
  const std::size_t depth = std::min(functions.size(), kDeepest);
  bool through_syscall = false, others_between = false;
  for (std::size_t i = 0; i < depth; ++i) {
    const std::string name = plain_name(functions[i]);
    if (name == "syscall") through_syscall = true;
    if (is_transparent(name)) continue;
    const Known* entry = known(functions[i]);
    if (entry == nullptr || (entry->calls_back && others_between)) {
      others_between = true;
      continue;
    }
    // The locks of streams, and some mutexes, end in what libc's own locks end in.
    if (name == "lll_lock_wait_private" && i + 1 < depth)
      if (const Known* outer = known(functions[i + 1]);
          outer != nullptr && (outer->families.has(kMutex) || outer->first == kLibcLock))
        entry = outer;
    if (entry->first == kSemaphore)
      for (std::size_t j = i + 1; j < depth; ++j)
        if (const Known* outer = known(functions[j]); outer != nullptr && outer->first == kPyMutex)
          entry = outer;
    result = of(*entry);
    result.through_syscall = through_syscall;
    return result;
  }
  result.through_syscall = through_syscall;
  from_module(hint, result);
  return result;
}

}  // namespace forkscope::layout
