// Finds the unwind table entry of an instruction for libunwind: .eh_frame_hdr of the module's file,
// else .debug_frame, the only table of code compiled without exceptions and of Go.
// Not thread-safe.
#pragma once

#include <libunwind.h>

#include <unordered_set>
#include <vector>

#include "detector/inspect/unwind_memory.hpp"

namespace forkscope {

class UnwindTables {
 public:
  explicit UnwindTables(UnwindMemory& memory) : memory_(memory) {}

  /// Serves unw_accessors_t::find_proc_info; `argument` goes on to libunwind's accessors.
  int find(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, bool need_unwind_info,
           void* argument);

 private:
  /// A table of .debug_frame entries that was translated to .eh_frame: one function.
  struct Translated {
    std::uint64_t start, end;  ///< code it covers
    std::uint64_t entry;       ///< address of its search table entry
    std::uint64_t fde;
  };

  bool eh_frame_table(const UnwindMemory::Mapping& mapping, unw_dyn_info_t& table);
  bool debug_frame_table(const UnwindMemory::Mapping& mapping, unw_word_t ip,
                         unw_dyn_info_t& table);
  const Translated* translate(const UnwindMemory::Mapping& mapping, unw_word_t ip);

  UnwindMemory& memory_;
  std::vector<Translated> translated_;
  std::unordered_set<unw_word_t>
      untranslated_;  ///< instructions without an entry: a search is long
};

}  // namespace forkscope
