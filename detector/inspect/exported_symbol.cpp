#include "detector/inspect/exported_symbol.hpp"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace forkscope {
namespace {

constexpr int kMostHeaders = 64;
constexpr int kMostEntries = 256;   // of a dynamic section
constexpr int kLongestChain = 256;  // symbols of one hash bucket

std::uint32_t gnu_hash(std::string_view name) {
  std::uint32_t hash = 5381;
  for (const unsigned char c : name) hash = hash * 33 + c;
  return hash;
}

std::uint32_t sysv_hash(std::string_view name) {
  std::uint32_t hash = 0;
  for (const unsigned char c : name) {
    hash = (hash << 4) + c;
    const std::uint32_t high = hash & 0xf0000000;
    hash = (hash ^ high >> 24) & ~high;
  }
  return hash;
}

}  // namespace

ExportedSymbols::ExportedSymbols(ProcessMemory& memory, const ModuleRecord& module)
    : memory_(memory), bias_(module.bias) {
  const auto header = memory.get<Elf64_Ehdr>(module.start);
  if (!header || !std::equal(ELFMAG, ELFMAG + SELFMAG, header->e_ident) ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_phentsize != sizeof(Elf64_Phdr)) {
    return;
  }
  std::vector<Elf64_Phdr> segments(std::min<int>(header->e_phnum, kMostHeaders));
  if (!memory.read(module.start + header->e_phoff, std::as_writable_bytes(std::span(segments)))) {
    return;
  }
  const auto dynamic = std::find_if(segments.begin(), segments.end(),
                                    [](const Elf64_Phdr& s) { return s.p_type == PT_DYNAMIC; });
  if (dynamic == segments.end()) return;
  std::vector<Elf64_Dyn> entries(
      std::min<std::uint64_t>(dynamic->p_memsz / sizeof(Elf64_Dyn), kMostEntries));
  if (!memory.read(bias_ + dynamic->p_vaddr, std::as_writable_bytes(std::span(entries)))) return;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_NULL) break;
    // glibc adds the bias to these in place on most architectures; musl leaves them alone.
    const std::uint64_t value = entry.d_un.d_ptr;
    const std::uint64_t address =
        value >= module.start && value < module.end ? value : value + bias_;
    switch (entry.d_tag) {
      case DT_SYMTAB:
        symbols_ = address;
        break;
      case DT_STRTAB:
        strings_ = address;
        break;
      case DT_GNU_HASH:
        gnu_hash_ = address;
        break;
      case DT_HASH:
        sysv_hash_ = address;
        break;
      default:
        break;
    }
  }
}

std::optional<std::uint64_t> ExportedSymbols::find(std::string_view name) {
  if (symbols_ == 0 || strings_ == 0) return std::nullopt;
  if (gnu_hash_ != 0) return by_gnu_hash(name);
  if (sysv_hash_ != 0) return by_sysv_hash(name);
  return std::nullopt;
}

/// Header of four words, a Bloom filter, buckets with the first symbol of each, then the hash of
/// every symbol, its lowest bit set at the end of a bucket.
std::optional<std::uint64_t> ExportedSymbols::by_gnu_hash(std::string_view name) {
  struct Header {
    std::uint32_t buckets, first_symbol, bloom_words, bloom_shift;
  };
  const auto header = memory_.get<Header>(gnu_hash_);
  if (!header || header->buckets == 0 || header->bloom_words == 0) return std::nullopt;
  const std::uint32_t hash = gnu_hash(name);
  const std::uint64_t bloom = gnu_hash_ + sizeof(Header);
  const auto word = memory_.get<std::uint64_t>(bloom + hash / 64 % header->bloom_words * 8);
  const std::uint32_t second = header->bloom_shift < 32 ? hash >> header->bloom_shift : 0;
  if (!word || (*word >> hash % 64 & *word >> second % 64 & 1) == 0) return std::nullopt;
  const std::uint64_t buckets = bloom + std::uint64_t(header->bloom_words) * 8;
  const auto first = memory_.get<std::uint32_t>(buckets + hash % header->buckets * 4);
  if (!first || *first < header->first_symbol) return std::nullopt;
  const std::uint64_t hashes = buckets + std::uint64_t(header->buckets) * 4;
  for (std::uint32_t i = *first; i - *first < kLongestChain; ++i) {
    const auto of_symbol =
        memory_.get<std::uint32_t>(hashes + std::uint64_t(i - header->first_symbol) * 4);
    if (!of_symbol) return std::nullopt;
    if ((*of_symbol | 1) == (hash | 1)) {
      if (const auto address = check(i, name)) return address;
    }
    if ((*of_symbol & 1) != 0) break;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ExportedSymbols::by_sysv_hash(std::string_view name) {
  struct Header {
    std::uint32_t buckets, chains;
  };
  const auto header = memory_.get<Header>(sysv_hash_);
  if (!header || header->buckets == 0) return std::nullopt;
  const std::uint64_t buckets = sysv_hash_ + sizeof(Header);
  const std::uint64_t chains = buckets + std::uint64_t(header->buckets) * 4;
  auto index = memory_.get<std::uint32_t>(buckets + sysv_hash(name) % header->buckets * 4);
  for (int steps = 0; index && *index != 0 && *index < header->chains && steps < kLongestChain;
       ++steps) {
    if (const auto address = check(*index, name)) return address;
    index = memory_.get<std::uint32_t>(chains + std::uint64_t(*index) * 4);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ExportedSymbols::check(std::uint32_t index, std::string_view name) {
  const auto symbol = memory_.get<Elf64_Sym>(symbols_ + std::uint64_t(index) * sizeof(Elf64_Sym));
  if (!symbol || symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0) return std::nullopt;
  if (memory_.text(strings_ + symbol->st_name, name.size() + 1) != name) return std::nullopt;
  return bias_ + symbol->st_value;
}

std::optional<std::uint64_t> address_in_file(const ModuleRecord& module, std::string_view section,
                                             std::string_view symbol) {
  // O_NONBLOCK: a FIFO under that name must not block us.
  const UniqueFd fd(open(module.open_path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  if (elf_version(EV_CURRENT) == EV_NONE) return std::nullopt;
  // ELF_C_READ: no mmap, which a file that is truncated meanwhile would end with SIGBUS.
  const std::unique_ptr<Elf, decltype(&elf_end)> elf(elf_begin(fd.get(), ELF_C_READ, nullptr),
                                                     elf_end);
  std::size_t names = 0;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || elf_getshdrstrndx(elf.get(), &names) != 0) {
    return std::nullopt;
  }
  Elf_Scn* table = nullptr;
  GElf_Shdr table_header{};
  for (Elf_Scn* at = elf_nextscn(elf.get(), nullptr); at != nullptr;
       at = elf_nextscn(elf.get(), at)) {
    GElf_Shdr header;
    if (gelf_getshdr(at, &header) == nullptr) continue;
    const char* const name = elf_strptr(elf.get(), names, header.sh_name);
    if (name != nullptr && section == name && header.sh_addr != 0) {
      return module.bias + header.sh_addr;
    }
    if (header.sh_type == SHT_SYMTAB) table = at, table_header = header;
  }
  if (symbol.empty()) return std::nullopt;
  Elf_Data* const data = table != nullptr ? elf_getdata(table, nullptr) : nullptr;
  if (data == nullptr || table_header.sh_entsize != sizeof(Elf64_Sym)) return std::nullopt;
  const auto count = int(std::min<std::uint64_t>(data->d_size / sizeof(Elf64_Sym), INT32_MAX));
  for (int i = 0; i < count; ++i) {
    GElf_Sym entry;
    if (gelf_getsym(data, i, &entry) == nullptr) break;
    if (entry.st_shndx == SHN_UNDEF || entry.st_value == 0) continue;
    const char* const name = elf_strptr(elf.get(), table_header.sh_link, entry.st_name);
    if (name != nullptr && symbol == name) return module.bias + entry.st_value;
  }
  return std::nullopt;
}

}  // namespace forkscope
