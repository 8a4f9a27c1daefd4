#include "detector/inspect/frozen_stack.hpp"

#include <libunwind.h>

#include "detector/inspect/frozen_memory.hpp"
#include "detector/inspect/frozen_registers.hpp"
#include "detector/inspect/unwind_tables.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMaxFrames = 256;
// libunwind interprets CFI programs and expressions from memory that may be garbage, and an
// expression can jump backwards for ever. Each instruction costs a read, so reads are rationed; the
// largest real functions take a few thousand.
constexpr int kMaxReadsPerStep = 16 << 10;

/// What the accessors below work on.
struct Target {
  Target(const record::Registers& r, const std::vector<MemoryBytes>& slices,
         const std::vector<ModuleRecord>& modules)
      : registers(r), memory(slices, modules), tables(memory) {}

  const record::Registers& registers;
  FrozenMemory memory;
  UnwindTables tables;
  int reads_left = 0;
  bool has_tables = false;  ///< the frame just left had an unwind table
};

Target& target(void* argument) { return *static_cast<Target*>(argument); }

int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, int need,
                   void* argument) {
  Target& t = target(argument);
  t.memory.set_segments(ElfImage::Segments::kAll);
  const int result = t.tables.find(space, ip, info, need != 0, argument);
  t.memory.set_segments(ElfImage::Segments::kReadOnly);
  t.has_tables = result >= 0;
  return result;
}

// libunwind's pool of these is freed by a function it does not export; perf leaves them as well.
// It is some 80 bytes a frame, in a command that ends soon.
void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}

int no_dynamic_info(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

int access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write,
                  void* argument) {
  Target& t = target(argument);
  if (write != 0 || t.reads_left <= 0) return -UNW_EINVAL;
  --t.reads_left;
  return t.memory.read(address, *value) ? 0 : -UNW_EINVAL;
}

int access_register(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write,
                    void* argument) {
  if (write != 0) return -UNW_EREADONLYREG;
  const auto known = register_value(target(argument).registers, number);
  if (!known) return -UNW_EBADREG;
  *value = *known;
  return 0;
}

int no_fp_registers(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) {
  return -UNW_EBADREG;
}
int no_resume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
int no_names(unw_addr_space_t, unw_word_t, char*, std::size_t, unw_word_t*, void*) {
  return -UNW_ENOINFO;
}

/// Owns libunwind's view of the target.
class AddressSpace {
 public:
  AddressSpace() : space_(unw_create_addr_space(&accessors_, 0)) {
    // Caches are keyed by address: of no use for one walk, and wrong for the next process.
    if (space_ != nullptr) unw_set_caching_policy(space_, UNW_CACHE_NONE);
  }
  ~AddressSpace() {
    if (space_ != nullptr) unw_destroy_addr_space(space_);
  }
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  unw_addr_space_t get() const { return space_; }

 private:
  unw_accessors_t accessors_{find_proc_info,  put_unwind_info, no_dynamic_info, access_memory,
                             access_register, no_fp_registers, no_resume,       no_names};
  unw_addr_space_t space_;
};

/// The return address was declared undefined, which is how _start and clone say that nothing called
/// them. A zero that was read from the stack is not that: it may be memory nobody wrote.
bool is_outermost(const Target& t) {
  return t.has_tables && t.memory.last_source() != FrozenMemory::Source::kSlice;
}

}  // namespace

UnwoundStack unwind_frozen(const record::Registers& registers,
                           const std::vector<MemoryBytes>& memory,
                           const std::vector<ModuleRecord>& modules) {
  UnwoundStack stack;
  stack.addresses.push_back(registers.pc);
  Target t(registers, memory, modules);
  const AddressSpace space;
  unw_cursor_t cursor;
  t.reads_left = kMaxReadsPerStep;
  if (space.get() == nullptr || unw_init_remote(&cursor, space.get(), &t) < 0) return stack;

  unw_word_t sp = registers.sp;
  while (stack.addresses.size() < kMaxFrames) {
    t.reads_left = kMaxReadsPerStep;
    t.has_tables = false;
    const bool signal_frame = unw_is_signal_frame(&cursor) > 0;
    t.reads_left = kMaxReadsPerStep;
    const int result = unw_step(&cursor);
    if (result == 0) stack.complete = is_outermost(t);
    if (result <= 0) break;
    unw_word_t ip = 0, next_sp = 0;
    if (unw_get_reg(&cursor, UNW_REG_IP, &ip) < 0 ||
        unw_get_reg(&cursor, UNW_REG_SP, &next_sp) < 0) {
      break;
    }
    if (ip == 0) break;  // read, not declared: see is_outermost
    // Callers lie further up the stack; only a signal handler's may be on another one.
    if (next_sp <= sp && !signal_frame) break;
    // Without a table libunwind follows the frame pointer, which compiled code is free to use for
    // something else: believe it only if it leads to code.
    if (!t.has_tables && t.memory.code_at(ip - 1).image == nullptr) break;
    sp = next_sp;
    stack.addresses.push_back(ip);
  }
  return stack;
}

}  // namespace forkscope
