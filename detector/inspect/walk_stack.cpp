#include "detector/inspect/walk_stack.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "detector/inspect/frame_base.hpp"
#include "detector/inspect/unwind_space.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMaxFrames = 256;
// libunwind interprets CFI programs and expressions from memory that may be garbage, and an
// expression can jump backwards for ever. Each instruction costs a read, so reads are rationed; the
// largest real functions take a few thousand.
constexpr int kMaxReadsPerStep = 16 << 10;
/// How much of a frame is searched for its base when the function's code does not tell its size.
constexpr std::uint64_t kMostFrame = 16 << 10;
constexpr std::size_t kMostCode = 256 << 10;

}  // namespace

class StackWalker::Impl {
 public:
  Impl(ProcessMemory* process, const std::vector<ModuleRecord>& modules)
      : target_(process, modules) {}

  WalkedStack walk(const KnownRegisters& registers, const std::vector<MemoryBytes>& copies);

 private:
  /// A frame whose caller could not be found.
  struct End {
    std::uint64_t pc = 0;  ///< inside the function: of a return address, one less
    KnownRegisters registers;
    bool missing_register = false;
  };
  enum class Found { kNo, kByLooks, kBySize };
  struct Function {
    std::uint64_t start = 0;
    std::optional<FrameSize> size;
    bool moves_stack = false;
  };

  End run(const KnownRegisters& registers, bool return_address, WalkedStack& stack);
  Found find_base(KnownRegisters& registers);
  const Function& function_at(std::uint64_t pc);
  bool fits(const KnownRegisters& registers, std::uint64_t base, const Function& function,
            bool by_looks);
  bool calls(std::uint64_t return_address, std::uint64_t function, bool by_looks);
  bool all_calls(std::span<const std::uint64_t> return_addresses);
  std::vector<std::byte> code(std::uint64_t start, std::uint64_t end);

  UnwindTarget target_;
  UnwindSpace space_;
  std::unordered_map<std::uint64_t, Function> functions_;
};

StackWalker::Impl::End StackWalker::Impl::run(const KnownRegisters& registers, bool return_address,
                                              WalkedStack& stack) {
  End end{registers.pc, registers, false};
  target_.registers = registers;
  target_.reads_left = kMaxReadsPerStep;
  unw_cursor_t cursor;
  if (space_.get() == nullptr || unw_init_remote(&cursor, space_.get(), &target_) < 0) return end;
  bool certain = !return_address, guessed = false;
  while (stack.addresses.size() < kMaxFrames) {
    target_.reads_left = kMaxReadsPerStep;
    const bool signal_frame = unw_is_signal_frame(&cursor) > 0;
    if (signal_frame) stack.interrupted.push_back(stack.addresses.back());
    target_.reads_left = kMaxReadsPerStep;
    target_.has_tables = true;
    target_.missing_register = false;
    target_.memory.forget_source();
    const int result = unw_step(&cursor);
    // The return address was declared undefined, which is how _start and clone say that nothing
    // called them. A zero that was read from the stack is not that: it may be memory nobody wrote.
    if (result == 0) {
      stack.complete = target_.has_tables &&
                       target_.memory.last_source() != UnwindMemory::Source::kSlice &&
                       target_.memory.last_source() != UnwindMemory::Source::kProcess;
    }
    if (result < 0) end.missing_register = target_.has_tables && target_.missing_register;
    unw_word_t ip = 0, sp = 0;
    if (result <= 0 || unw_get_reg(&cursor, UNW_REG_IP, &ip) < 0 ||
        unw_get_reg(&cursor, UNW_REG_SP, &sp) < 0 || ip == 0) {
      break;
    }
    // Callers lie further up the stack; only a signal handler's may be on another one.
    if (sp <= end.registers.sp && !signal_frame) break;
    // Without a table libunwind follows the frame pointer, which compiled code is free to use for
    // something else: believe it, and what it leads to, only while it leads to calls.
    guessed = guessed || !target_.has_tables;
    if (guessed && !calls(ip, 0, false)) break;
    certain = certain && target_.has_tables;
    if (signal_frame) stack.interrupted.push_back(ip);
    stack.addresses.push_back(ip);
    if (certain) stack.certain = stack.addresses.size();
    end.pc = signal_frame ? ip : ip - 1;
    end.registers.sp = sp;
  }
  // What inner frames saved of the caller's registers is known now.
  const auto saved = [&](unw_regnum_t number) -> std::optional<std::uint64_t> {
    unw_word_t value = 0;
    if (unw_get_reg(&cursor, number, &value) < 0) return std::nullopt;
    return value;
  };
  end.registers = {end.pc,
                   end.registers.sp,
                   saved(UNW_X86_64_RBP),
                   saved(UNW_X86_64_RBX),
                   saved(UNW_X86_64_R12),
                   saved(UNW_X86_64_R13),
                   saved(UNW_X86_64_R14),
                   saved(UNW_X86_64_R15)};
  return end;
}

WalkedStack StackWalker::Impl::walk(const KnownRegisters& registers,
                                    const std::vector<MemoryBytes>& copies) {
  target_.memory.start(copies);
  WalkedStack stack;
  stack.addresses.push_back(registers.pc);
  stack.certain = 1;
  End end = run(registers, false, stack);
  if (!end.missing_register || end.registers.bp) return stack;
  const std::size_t before = stack.addresses.size();
  const Found found = find_base(end.registers);
  if (found == Found::kNo) return stack;
  const std::size_t certain = stack.certain;
  run(end.registers, true, stack);
  // A frame of the size its code says is the right one if everything above it is in order too.
  const bool proven = found == Found::kBySize && certain == before && stack.complete &&
                      all_calls(std::span(stack.addresses).subspan(before));
  stack.certain = proven ? stack.addresses.size() : certain;
  return stack;
}

std::vector<std::byte> StackWalker::Impl::code(std::uint64_t start, std::uint64_t end) {
  std::vector<std::byte> bytes;
  if (end <= start || end - start > kMostCode) return bytes;
  bytes.resize(end - start);
  if (!target_.memory.read(start, bytes)) bytes.clear();
  return bytes;
}

const StackWalker::Impl::Function& StackWalker::Impl::function_at(std::uint64_t pc) {
  const auto [at, fresh] = functions_.try_emplace(pc);
  if (!fresh) return at->second;
  unw_proc_info_t info{};
  target_.reads_left = kMaxReadsPerStep;
  target_.memory.set_segments(ElfImage::Segments::kAll);
  const int result = target_.tables.find(space_.get(), pc, &info, false, &target_);
  target_.memory.set_segments(ElfImage::Segments::kReadOnly);
  if (result < 0 || pc < info.start_ip || pc >= info.end_ip) return at->second;
  Function& function = at->second;
  function.start = info.start_ip;
  function.size = frame_size(code(info.start_ip, pc + 1));
  const std::vector<std::byte> whole = code(info.start_ip, info.end_ip);
  function.moves_stack = whole.empty() || moves_stack_by_data(whole);
  return function;
}

/// Whether the instruction before the return address calls the function, as far as it tells. Any
/// function if that is 0.
bool StackWalker::Impl::calls(std::uint64_t return_address, std::uint64_t function, bool by_looks) {
  constexpr std::size_t kLongestCall = 8;
  UnwindMemory& memory = target_.memory;
  if (return_address < kLongestCall || memory.code_at(return_address - 1).image == nullptr) {
    return false;
  }
  const auto before = code(return_address - kLongestCall, return_address);
  const CallBefore call = call_before(before);
  if (function == 0) return call.kind != CallBefore::Kind::kNone;
  const std::uint64_t there = return_address + std::uint64_t(std::int64_t(call.distance));
  std::uint64_t callee = 0;
  switch (call.kind) {
    case CallBefore::Kind::kNone:
      return false;
    case CallBefore::Kind::kComputed:
      return !by_looks;
    case CallBefore::Kind::kThrough:
      return memory.read(there, callee) && callee == function;
    case CallBefore::Kind::kDirect:
      break;
  }
  if (there == function) return true;
  std::array<std::byte, 16> entry;
  if (!memory.read(there, std::span<std::byte>(entry))) return false;
  const auto slot = linkage_slot(entry);
  return slot && memory.read(there + std::uint64_t(*slot), callee) && callee == function;
}

bool StackWalker::Impl::all_calls(std::span<const std::uint64_t> return_addresses) {
  return std::all_of(return_addresses.begin(), return_addresses.end(),
                     [&](std::uint64_t address) { return calls(address, 0, false); });
}

/// Whether the frame, with its base there, was called as it should have been.
bool StackWalker::Impl::fits(const KnownRegisters& registers, std::uint64_t base,
                             const Function& function, bool by_looks) {
  target_.registers = registers;
  target_.registers.bp = base;
  target_.reads_left = kMaxReadsPerStep;
  unw_cursor_t cursor;
  unw_word_t ip = 0, sp = 0;
  if (unw_init_remote(&cursor, space_.get(), &target_) < 0 || unw_step(&cursor) <= 0 ||
      unw_get_reg(&cursor, UNW_REG_IP, &ip) < 0 || unw_get_reg(&cursor, UNW_REG_SP, &sp) < 0) {
    return false;
  }
  return sp > base && calls(ip, function.start, by_looks);
}

StackWalker::Impl::Found StackWalker::Impl::find_base(KnownRegisters& registers) {
  const Function& function = function_at(registers.pc);
  if (function.start == 0) return Found::kNo;
  constexpr std::uint64_t kAlignment = 16;  // of every frame (System V ABI, 3.2.2), so of its base
  const auto try_size = [&](std::uint64_t size) {
    int fitting = 0;
    std::uint64_t base = (registers.sp + size + kAlignment - 1) / kAlignment * kAlignment;
    for (const std::uint64_t last = registers.sp + size + function.size->alignment; base < last;
         base += kAlignment) {
      if (!fits(registers, base, function, false)) continue;
      if (++fitting == 1) registers.bp = base;
    }
    if (fitting != 1) registers.bp.reset();
    return fitting == 1;
  };
  if (function.size && !function.moves_stack) {
    if (try_size(function.size->size)) return Found::kBySize;
    const auto next = code(registers.pc + 1, registers.pc + 8);
    const std::uint64_t removed = arguments_removed(next);
    if (removed != 0 && try_size(function.size->size + removed)) return Found::kBySize;
  }
  // The only place in reach that a call of this very function returns to.
  std::optional<std::uint64_t> only;
  for (std::uint64_t base = (registers.sp + kAlignment - 1) / kAlignment * kAlignment;
       base < registers.sp + kMostFrame; base += kAlignment) {
    std::uint64_t address = 0;
    if (!target_.memory.read(base + sizeof address, address)) break;
    if (!calls(address, function.start, true) || !fits(registers, base, function, true)) continue;
    if (only) return Found::kNo;
    only = base;
  }
  registers.bp = only;
  return only ? Found::kByLooks : Found::kNo;
}

StackWalker::StackWalker(ProcessMemory& memory, const std::vector<ModuleRecord>& modules)
    : impl_(std::make_unique<Impl>(&memory, modules)) {}
StackWalker::StackWalker(const std::vector<ModuleRecord>& modules)
    : impl_(std::make_unique<Impl>(nullptr, modules)) {}
StackWalker::~StackWalker() = default;

WalkedStack StackWalker::walk(const KnownRegisters& registers) {
  static const std::vector<MemoryBytes> none;
  return impl_->walk(registers, none);
}

WalkedStack StackWalker::walk(const KnownRegisters& registers,
                              const std::vector<MemoryBytes>& copies) {
  return impl_->walk(registers, copies);
}

}  // namespace forkscope
