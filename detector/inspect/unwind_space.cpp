#include "detector/inspect/unwind_space.hpp"

namespace forkscope {
namespace {

// Of instructions, not of stacks: what the tables say of each is kept once it was read.
constexpr std::size_t kCachedInstructions = 1024;

UnwindTarget& target(void* argument) { return *static_cast<UnwindTarget*>(argument); }

/// The only place that knows which libunwind register a field of KnownRegisters is. Another
/// architecture adds its mapping here and its fields there.
std::optional<std::uint64_t> register_value(const KnownRegisters& registers, unw_regnum_t number) {
#if defined(__x86_64__)
  switch (number) {
    case UNW_X86_64_RIP:
      return registers.pc;
    case UNW_X86_64_RSP:
      return registers.sp;
    case UNW_X86_64_RBP:
      return registers.bp;
    case UNW_X86_64_RBX:
      return registers.bx;
    case UNW_X86_64_R12:
      return registers.r12;
    case UNW_X86_64_R13:
      return registers.r13;
    case UNW_X86_64_R14:
      return registers.r14;
    case UNW_X86_64_R15:
      return registers.r15;
    default:
      return std::nullopt;
  }
#else
#error "KnownRegisters has no mapping for this architecture yet"
#endif
}

int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, int need,
                   void* argument) {
  UnwindTarget& t = target(argument);
  t.memory.set_segments(ElfImage::Segments::kAll);
  const int result = t.tables.find(space, ip, info, need != 0, argument);
  t.memory.set_segments(ElfImage::Segments::kReadOnly);
  t.has_tables = result >= 0;
  return result;
}

// libunwind's pool of these is freed by a function it does not export; perf leaves them as well.
// It is some 80 bytes an instruction, and a stack has few that another has not.
void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}

int no_dynamic_info(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

int access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write,
                  void* argument) {
  UnwindTarget& t = target(argument);
  if (write != 0 || t.reads_left <= 0) return -UNW_EINVAL;
  --t.reads_left;
  return t.memory.read(address, *value) ? 0 : -UNW_EINVAL;
}

int access_register(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write,
                    void* argument) {
  if (write != 0) return -UNW_EREADONLYREG;
  UnwindTarget& t = target(argument);
  const auto known = register_value(t.registers, number);
  if (!known) {
    t.missing_register = true;
    return -UNW_EBADREG;
  }
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

}  // namespace

UnwindSpace::UnwindSpace()
    : accessors_{find_proc_info,  put_unwind_info, no_dynamic_info, access_memory,
                 access_register, no_fp_registers, no_resume,       no_names},
      space_(unw_create_addr_space(&accessors_, 0)) {
  if (space_ == nullptr) return;
  // One address space is one process, whose tables do not change while it is walked.
  unw_set_caching_policy(space_, UNW_CACHE_GLOBAL);
  unw_set_cache_size(space_, kCachedInstructions, 0);
}

UnwindSpace::~UnwindSpace() {
  if (space_ != nullptr) unw_destroy_addr_space(space_);
}

}  // namespace forkscope
