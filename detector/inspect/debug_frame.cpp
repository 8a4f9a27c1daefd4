#include "detector/inspect/debug_frame.hpp"

#include <elfutils/libdw.h>
#include <gelf.h>

#include <cstring>
#include <memory>

namespace forkscope {
namespace {

using ElfHandle = std::unique_ptr<Elf, int (*)(Elf*)>;

Elf_Data* debug_frame_section(Elf* elf) {
  std::size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return nullptr;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name == nullptr || std::strcmp(name, ".debug_frame") != 0) continue;
    if ((header.sh_flags & SHF_COMPRESSED) != 0 && elf_compress(section, 0, 0) < 0) return nullptr;
    return elf_getdata(section, nullptr);
  }
  return nullptr;
}

std::vector<std::byte> copy(const std::uint8_t* begin, const std::uint8_t* end) {
  const auto* from = reinterpret_cast<const std::byte*>(begin);
  return {from, from + (end - begin)};
}

class Writer {
 public:
  template <class T>
  void put(T value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), from, from + sizeof value);
  }
  void uleb(std::uint64_t value) {
    do {
      const std::uint8_t low = value & 0x7f;
      value >>= 7;
      put(std::uint8_t(low | (value != 0 ? 0x80 : 0)));
    } while (value != 0);
  }
  void sleb(std::int64_t value) {
    for (bool more = true; more;) {
      const std::uint8_t low = value & 0x7f;
      value >>= 7;
      more = !((value == 0 && (low & 0x40) == 0) || (value == -1 && (low & 0x40) != 0));
      put(std::uint8_t(low | (more ? 0x80 : 0)));
    }
  }
  void put(const std::vector<std::byte>& bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  /// Ends an entry that began at `start` with its length: pads with DW_CFA_nop (0).
  void finish(std::size_t start) {
    out.resize((out.size() + 7) / 8 * 8);
    const auto length = std::uint32_t(out.size() - start - 4);
    std::memcpy(out.data() + start, &length, sizeof length);
  }

  std::vector<std::byte> out;
};

}  // namespace

std::optional<DebugFrame> find_debug_frame(int descriptor, std::uint64_t address) {
  if (elf_version(EV_CURRENT) == EV_NONE) return std::nullopt;
  const ElfHandle elf(elf_begin(descriptor, ELF_C_READ, nullptr), &elf_end);
  if (!elf) return std::nullopt;
  Elf_Data* data = debug_frame_section(elf.get());
  const char* raw_ident = elf_getident(elf.get(), nullptr);
  if (data == nullptr || raw_ident == nullptr) return std::nullopt;
  const auto* ident = reinterpret_cast<const unsigned char*>(raw_ident);

  Dwarf_CFI_Entry entry;
  Dwarf_Off offset = 0, next = 0;
  for (; dwarf_next_cfi(ident, data, false, offset, &next, &entry) == 0 && next > offset;
       offset = next) {
    if (dwarf_cfi_cie_p(&entry) || entry.fde.end - entry.fde.start < 16) continue;
    // Addresses of .debug_frame are plain words, not encoded.
    std::uint64_t start = 0, size = 0;
    std::memcpy(&start, entry.fde.start, sizeof start);
    std::memcpy(&size, entry.fde.start + sizeof start, sizeof size);
    if (address < start || address - start >= size) continue;
    Dwarf_CFI_Entry cie;
    Dwarf_Off unused = 0;
    if (dwarf_next_cfi(ident, data, false, entry.fde.CIE_pointer, &unused, &cie) != 0 ||
        !dwarf_cfi_cie_p(&cie) || cie.cie.augmentation[0] != '\0' ||
        cie.cie.return_address_register > 0xff) {
      return std::nullopt;
    }
    DebugFrame frame;
    frame.start = start;
    frame.end = start + size;
    frame.code_alignment = cie.cie.code_alignment_factor;
    frame.data_alignment = cie.cie.data_alignment_factor;
    frame.return_register = std::uint8_t(cie.cie.return_address_register);
    frame.initial_instructions =
        copy(cie.cie.initial_instructions, cie.cie.initial_instructions_end);
    frame.instructions = copy(entry.fde.start + 16, entry.fde.end);
    return frame;
  }
  return std::nullopt;
}

std::vector<std::byte> as_eh_frame(const DebugFrame& frame, std::uint64_t bias) {
  Writer w;
  w.put(std::uint32_t{0});  // length, set by finish
  w.put(std::uint32_t{0});  // a CIE
  w.put(std::uint8_t{1});   // version
  w.put(std::uint8_t{0});   // no augmentation: addresses are plain words
  w.uleb(frame.code_alignment);
  w.sleb(frame.data_alignment);
  w.put(frame.return_register);
  w.put(frame.initial_instructions);
  w.finish(0);
  const std::size_t fde = w.out.size();
  w.put(std::uint32_t{0});
  w.put(std::uint32_t(fde + 4));  // back from this field to the CIE
  w.put(frame.start + bias);
  w.put(frame.end - frame.start);
  w.put(frame.instructions);
  w.finish(fde);
  return w.out;
}

std::size_t frame_fde_offset(const std::vector<std::byte>& eh_frame) {
  std::uint32_t length = 0;
  std::memcpy(&length, eh_frame.data(), sizeof length);
  return length + sizeof length;
}

}  // namespace forkscope
