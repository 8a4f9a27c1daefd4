#include "detector/tracker/inject_symbols.hpp"

#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "detector/tracker/sys.hpp"

namespace forkscope::inject {

namespace {

/// A file in memory while its names are read.
class MappedFile {
 public:
  explicit MappedFile(const char* path) {
    const long fd = sys::openat(path, O_RDONLY);
    if (fd < 0) return;
    struct stat info {};
    if (sys::call(SYS_fstat, fd, sys::arg(&info)) == 0 && info.st_size > 0) {
      const long at = sys::call(SYS_mmap, 0, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
      if (at > 0 || at < -4095) {
        data_ = reinterpret_cast<const char*>(at);
        size_ = std::size_t(info.st_size);
      }
    }
    sys::close(int(fd));
  }
  ~MappedFile() {
    if (data_ != nullptr) sys::unmap(const_cast<char*>(data_), size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// `count` objects at `offset`, or null where they are not all there.
  template <typename T>
  const T* at(std::uint64_t offset, std::uint64_t count = 1) const {
    if (offset > size_ || offset % alignof(T) != 0 || count > (size_ - offset) / sizeof(T))
      return nullptr;
    return reinterpret_cast<const T*>(data_ + offset);
  }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

struct SymbolTable {
  const Elf64_Sym* symbols = nullptr;
  std::uint64_t count = 0;
  const char* names = nullptr;
  std::uint64_t names_size = 0;
};

SymbolTable find_table(const MappedFile& file) {
  SymbolTable found;
  const auto* header = file.at<Elf64_Ehdr>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64)
    return found;
  const auto* sections = file.at<Elf64_Shdr>(header->e_shoff, header->e_shnum);
  if (sections == nullptr) return found;
  bool full = false;
  for (const Elf64_Shdr* section = sections; section < sections + header->e_shnum; ++section) {
    const bool symtab = section->sh_type == SHT_SYMTAB;
    if ((!symtab && section->sh_type != SHT_DYNSYM) || full || section->sh_link >= header->e_shnum)
      continue;
    const Elf64_Shdr& names = sections[section->sh_link];
    const auto* symbols =
        file.at<Elf64_Sym>(section->sh_offset, section->sh_size / sizeof(Elf64_Sym));
    const char* text = file.at<char>(names.sh_offset, names.sh_size);
    if (symbols == nullptr || text == nullptr || names.sh_size == 0 ||
        text[names.sh_size - 1] != '\0')
      continue;
    found = {symbols, section->sh_size / sizeof(Elf64_Sym), text, names.sh_size};
    full = symtab;
  }
  return found;
}

/// Bits of the injections that the symbol is for; 0 also for what is neither variable nor function.
std::uint32_t bits_of(const SymbolTable& table, const Elf64_Sym& symbol,
                      std::uint32_t (*matching)(const char*)) {
  const auto type = ELF64_ST_TYPE(symbol.st_info);
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_value == 0 || symbol.st_size == 0 ||
      symbol.st_name >= table.names_size ||
      (type != STT_OBJECT && type != STT_FUNC && type != STT_GNU_IFUNC))
    return 0;
  const char* name = table.names + symbol.st_name;
  std::uint32_t bits = matching(name);
  char plain[512];
  if (name[0] == '_' && name[1] == 'Z' && plain_name(name, plain, sizeof plain)) {
    bits |= matching(plain);
    const char* last = std::strrchr(plain, ':');
    if (last != nullptr) bits |= matching(last + 1);
  }
  return bits;
}

/// Reads a <number><name> at `at`; false if there is none.
bool read_part(const char*& at, const char*& name, std::size_t& length) {
  length = 0;
  if (*at < '1' || *at > '9') return false;
  for (; *at >= '0' && *at <= '9'; ++at) {
    length = length * 10 + std::size_t(*at - '0');
    if (length > 4096) return false;
  }
  name = at;
  for (std::size_t i = 0; i < length; ++i)
    if (*at++ == '\0') return false;
  return true;
}

}  // namespace

const char* path_of(const link_map& object, char (&buffer)[1024]) {
  if (object.l_name != nullptr && object.l_name[0] != '\0') return object.l_name;
  const long length = sys::call(SYS_readlinkat, AT_FDCWD, sys::arg("/proc/self/exe"),
                                sys::arg(buffer), sizeof buffer - 1);
  if (length <= 0) return nullptr;
  buffer[length] = '\0';
  return buffer;
}

SymbolRanges read_symbols(const link_map& object, std::uint32_t (*matching)(const char*)) {
  SymbolRanges ranges;
  char buffer[1024];
  const char* path = path_of(object, buffer);
  if (path == nullptr) return ranges;
  const MappedFile file(path);
  const SymbolTable table = find_table(file);
  std::uint32_t wanted = 0;
  for (std::uint64_t i = 0; i < table.count; ++i)
    wanted += bits_of(table, table.symbols[i], matching) != 0;
  if (wanted == 0) return ranges;
  ranges.first = static_cast<SymbolRange*>(sys::map_private(wanted * sizeof(SymbolRange)));
  if (ranges.first == nullptr) return {};
  for (std::uint64_t i = 0; i < table.count && ranges.count < wanted; ++i) {
    const Elf64_Sym& symbol = table.symbols[i];
    const std::uint32_t bits = bits_of(table, symbol, matching);
    if (bits == 0) continue;
    const std::uint64_t begin = object.l_addr + symbol.st_value;
    ranges.first[ranges.count++] = {begin, begin + symbol.st_size, bits,
                                    ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT};
  }
  std::sort(ranges.first, ranges.first + ranges.count,
            [](const SymbolRange& a, const SymbolRange& b) { return a.begin < b.begin; });
  return ranges;
}

bool plain_name(const char* mangled, char* into, std::size_t size) {
  const char* at = mangled + 2;
  std::size_t used = 0;
  const char* last = "";
  std::size_t last_length = 0;
  const auto add = [&](const char* text, std::size_t length) {
    if (used + length + 3 > size) return false;
    if (used > 0) into[used++] = ':', into[used++] = ':';
    std::memcpy(into + used, text, length);
    used += length;
    into[used] = '\0';
    return true;
  };
  const bool nested = *at == 'N';
  if (nested) {
    ++at;
    while (*at == 'r' || *at == 'V' || *at == 'K' || *at == 'R' || *at == 'O') ++at;
  }
  if (at[0] == 'S' && at[1] == 't') {
    if (!add("std", 3)) return false;
    at += 2;
  }
  while (true) {
    if (*at == 'L') ++at;  // of one file only
    const char* name = nullptr;
    std::size_t length = 0;
    if (read_part(at, name, length)) {
      constexpr char kAnonymous[] = "_GLOBAL__N_1";
      const bool anonymous =
          length == sizeof kAnonymous - 1 && std::memcmp(name, kAnonymous, length) == 0;
      if (anonymous ? !add("(anonymous namespace)", 21) : !add(name, length)) return false;
      last = name;
      last_length = length;
    } else if (nested && at[0] == 'C' && at[1] >= '1' && at[1] <= '3' && last_length > 0) {
      if (!add(last, last_length)) return false;
      at += 2;
    } else {
      return false;  // an operator, a template, a name in a function
    }
    if (!nested) return true;
    if (*at == 'E') return true;
  }
}

}  // namespace forkscope::inject
