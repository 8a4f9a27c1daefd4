#include "detector/inspect/unwind_tables.hpp"

#include "detector/inspect/debug_frame.hpp"

// libunwind exports it for perf and others that bring their own tables, but declares it nowhere.
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t, unw_word_t ip, unw_dyn_info_t*,
                                                  unw_proc_info_t*, int need_unwind_info,
                                                  void* argument);

namespace forkscope {
namespace {

// DWARF pointer encodings (LSB, "DWARF Exception Header Encoding").
constexpr std::uint8_t kFormatMask = 0x0f;
constexpr std::uint8_t kUdata4 = 0x03;
constexpr std::uint8_t kUdata8 = 0x04;
constexpr std::uint8_t kSdata4 = 0x0b;
constexpr std::uint8_t kSdata8 = 0x0c;
constexpr std::uint8_t kDataRelativeSdata4 = 0x3b;

struct EhFrameHeader {
  std::uint8_t version, frame_encoding, count_encoding, table_encoding;
};

/// One entry of the binary search table.
struct TableEntry {
  std::int32_t start;
  std::int32_t fde;
};

}  // namespace

bool UnwindTables::eh_frame_table(const UnwindMemory::Mapping& mapping, unw_dyn_info_t& table) {
  if (mapping.image->eh_frame_hdr() == 0) return false;
  const std::uint64_t at = mapping.module->bias + mapping.image->eh_frame_hdr();
  EhFrameHeader header{};
  if (!memory_.read(at, header) || header.version != 1 ||
      header.table_encoding != kDataRelativeSdata4 || header.count_encoding != kUdata4) {
    return false;  // every linker writes these encodings
  }
  std::uint64_t count_at = at + sizeof header;
  switch (header.frame_encoding & kFormatMask) {
    case kUdata4:
    case kSdata4:
      count_at += 4;
      break;
    case kUdata8:
    case kSdata8:
      count_at += 8;
      break;
    default:
      return false;
  }
  std::uint32_t count = 0;
  if (!memory_.read(count_at, count) || count == 0) return false;
  table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  table.start_ip = mapping.module->start;
  table.end_ip = mapping.module->end;
  table.u.rti.segbase = at;
  table.u.rti.table_data = count_at + sizeof count;
  table.u.rti.table_len = std::uint64_t(count) * sizeof(TableEntry) / sizeof(unw_word_t);
  return true;
}

const UnwindTables::Translated* UnwindTables::translate(const UnwindMemory::Mapping& mapping,
                                                        unw_word_t ip) {
  for (const Translated& known : translated_) {
    if (ip >= known.start && ip < known.end) return &known;
  }
  if (untranslated_.contains(ip)) return nullptr;
  const std::uint64_t bias = mapping.module->bias;
  const auto frame = find_debug_frame(mapping.image->descriptor(), ip - bias);
  if (!frame) {
    untranslated_.insert(ip);
    return nullptr;
  }
  Translated fresh{};
  fresh.start = frame->start + bias;
  fresh.end = frame->end + bias;
  const std::vector<std::byte> bytes = as_eh_frame(*frame, bias);
  fresh.fde = memory_.add(bytes) + frame_fde_offset(bytes);
  // Both numbers are offsets: of the code from start_ip, of the FDE from segbase.
  const TableEntry entry{0, 0};
  fresh.entry = memory_.add(std::as_bytes(std::span(&entry, 1)));
  translated_.push_back(fresh);
  return &translated_.back();
}

bool UnwindTables::debug_frame_table(const UnwindMemory::Mapping& mapping, unw_word_t ip,
                                     unw_dyn_info_t& table) {
  const Translated* one = translate(mapping, ip);
  if (one == nullptr) return false;
  // Code and table are further apart than the 32 bits of a table entry: each gets its own base.
  table.format = UNW_INFO_FORMAT_IP_OFFSET;
  table.start_ip = one->start;
  table.end_ip = one->end;
  table.u.rti.segbase = one->fde;
  table.u.rti.table_data = one->entry;
  table.u.rti.table_len = sizeof(TableEntry) / sizeof(unw_word_t);
  return true;
}

int UnwindTables::find(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info,
                       bool need_unwind_info, void* argument) {
  const UnwindMemory::Mapping mapping = memory_.code_at(ip);
  if (mapping.image == nullptr) return -UNW_ENOINFO;
  unw_dyn_info_t table{};
  int result = -UNW_ENOINFO;
  if (eh_frame_table(mapping, table)) {
    result =
        UNW_OBJ(dwarf_search_unwind_table)(space, ip, &table, info, need_unwind_info, argument);
  }
  if (result < 0 && debug_frame_table(mapping, ip, table)) {
    result =
        UNW_OBJ(dwarf_search_unwind_table)(space, ip, &table, info, need_unwind_info, argument);
  }
  return result;
}

}  // namespace forkscope
