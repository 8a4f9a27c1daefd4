#include "detector/inspect/x86_code.hpp"

#include <algorithm>
#include <cstring>

// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, appendix A: opcode maps.
namespace forkscope::x86 {
namespace {

using Byte = std::uint8_t;

constexpr bool in(Byte value, Byte first, Byte last) { return value >= first && value <= last; }

template <std::size_t N>
constexpr bool is_one_of(Byte value, const Byte (&list)[N]) {
  return std::find(std::begin(list), std::end(list), value) != std::end(list);
}

constexpr Registers bit(unsigned number) { return Registers{1} << number; }

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> code) : code_(code) {}

  std::optional<Instruction> decode() {
    if (!take_prefixes()) return std::nullopt;
    const Byte opcode = take();
    if (opcode == 0x0f) {
      two_bytes(take());
    } else if (opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62) {
      vector(opcode);
    } else {
      one_byte(opcode);
    }
    if (bad_ || at_ > code_.size()) return std::nullopt;
    out_.length = static_cast<Byte>(at_);
    return out_;
  }

 private:
  Byte take() {
    if (at_ >= code_.size()) return bad_ = true, Byte{0};
    return std::to_integer<Byte>(code_[at_++]);
  }

  template <class T>
  T take_number() {
    T value{};
    if (code_.size() - at_ < sizeof value || at_ > code_.size()) return bad_ = true, value;
    std::memcpy(&value, code_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  bool take_prefixes() {
    for (; at_ < code_.size(); ++at_) {
      const Byte byte = std::to_integer<Byte>(code_[at_]);
      if (in(byte, 0x40, 0x4f)) {
        rex_ = byte;
        ++at_;
        return true;
      }
      if (byte == 0x66) half_ = true;
      else if (byte == 0xf3) repeat_ = true;
      else if (byte == 0x64 || byte == 0x65) out_.of_thread = true;
      else if (!is_one_of(byte, {0x67, 0xf2, 0xf0, 0x2e, 0x36, 0x3e, 0x26})) return true;
    }
    return false;
  }

  unsigned extended(unsigned number, unsigned bit_of_rex) const {
    return number | ((rex_ >> bit_of_rex & 1u) << 3);
  }

  /// The ModRM byte and what follows it. An operand relative to the instruction pointer is made
  /// relative to the end when that is known: `immediate` bytes follow.
  void modes(unsigned immediate = 0) {
    const Byte byte = take();
    const unsigned mode = byte >> 6, low = byte & 7u;
    field_ = byte >> 3 & 7u;
    reg_ = extended(field_, 2);
    if (mode == 3) {
      rm_ = extended(low, 0);
      return;
    }
    out_.memory = true;
    unsigned base = low;
    if (low == 4) {
      const Byte scaled = take();
      base = scaled & 7u;
      const unsigned index = extended(scaled >> 3 & 7u, 1);
      if (index != kSp) out_.base |= bit(index);
    }
    if (mode == 0 && low == 5) {
      out_.by_ip = true;
      out_.place = take_number<std::int32_t>() + std::int64_t(immediate);
      return;
    }
    if (mode == 0 && base == 5) {
      out_.displacement = take_number<std::int32_t>();
      return;
    }
    out_.base |= bit(extended(base, 0));
    if (mode == 1) out_.displacement = take_number<std::int8_t>();
    if (mode == 2) out_.displacement = take_number<std::int32_t>();
  }

  void skip(unsigned bytes) { at_ += bytes; }
  unsigned word() const { return half_ ? 2 : 4; }
  Registers rm() const { return out_.memory ? 0 : bit(rm_); }
  Registers reg() const { return bit(reg_); }

  void is(Does does, Registers writes = 0, Registers reads = 0) {
    out_.does = does;
    out_.writes = writes;
    out_.reads = reads;
  }
  void compares(Registers reads) {
    is(Does::kCompares, 0, reads);
    out_.sets_flags = true;
  }
  /// The destination is the operand that may be in memory.
  void changes_rm(bool flags = true) {
    is(out_.memory ? Does::kStores : Does::kComputes, rm(), rm());
    out_.sets_flags = flags;
  }
  void moves_to_rm(Registers reads) {
    is(out_.memory ? Does::kStores : Does::kMoves, rm(), reads);
    out_.plain_store = out_.memory;
  }
  void computes(Registers writes) {
    is(Does::kComputes, writes, writes);
    out_.sets_flags = true;
  }
  void leads(Does does, std::int64_t place) {
    is(does);
    out_.place = place;
  }

  /// The eight that share their forms: add, or, adc, sbb, and, sub, xor, cmp.
  void arithmetic(unsigned operation, Registers to, Registers from, bool to_memory) {
    out_.sets_flags = true;
    constexpr unsigned kOr = 1, kAnd = 4, kXor = 6, kCmp = 7;
    if (operation == kCmp) return compares(to | from);
    if (to_memory) return is(Does::kStores, 0, from);
    // Done again with the same operand these change nothing.
    if (operation == kOr || operation == kAnd) return is(Does::kMoves, to, to | from);
    if (operation == kXor && to == from && !out_.memory) return is(Does::kMoves, to);
    is(Does::kComputes, to, to | from);
  }

  void one_byte(Byte opcode) {
    if (opcode < 0x40) return arithmetic_form(opcode);
    if (in(opcode, 0x50, 0x5f)) return stack(opcode);
    if (in(opcode, 0x70, 0x7f)) return leads(Does::kBranches, take_number<std::int8_t>());
    if (in(opcode, 0x80, 0x8f)) return group_80(opcode);
    if (in(opcode, 0x90, 0x9f)) return group_90(opcode);
    if (in(opcode, 0xa0, 0xaf)) return group_a0(opcode);
    if (in(opcode, 0xb0, 0xbf)) {
      skip(opcode < 0xb8 ? 1 : (rex_ & 8) != 0 ? 8 : word());
      return is(Does::kMoves, bit(extended(opcode & 7u, 0)));
    }
    if (in(opcode, 0xd8, 0xdf)) return modes(), changes_rm();
    others(opcode);
  }

  void arithmetic_form(Byte opcode) {
    const unsigned form = opcode & 7u, operation = opcode >> 3;
    if (form > 5) return void(bad_ = true);
    if (form > 3) {
      skip(form == 4 ? 1 : word());
      return arithmetic(operation, bit(kAx), 0, false);
    }
    modes();
    if (form < 2) return arithmetic(operation, rm(), reg(), out_.memory);
    arithmetic(operation, reg(), rm(), false);
  }

  void stack(Byte opcode) {
    const Registers one = bit(extended(opcode & 7u, 0));
    if (opcode >= 0x58) return is(Does::kMoves, one);
    is(Does::kMoves, 0, one);
  }

  void group_80(Byte opcode) {
    if (opcode == 0x82) return void(bad_ = true);
    if (opcode <= 0x83) {
      const unsigned immediate = opcode == 0x81 ? word() : 1;
      modes(immediate);
      skip(immediate);
      return arithmetic(field_, rm(), 0, out_.memory);
    }
    modes();
    if (opcode <= 0x85) return compares(rm() | reg());
    if (opcode <= 0x87)
      return is(out_.memory ? Does::kTries : Does::kComputes, reg() | rm(), reg() | rm());
    if (opcode <= 0x89) return moves_to_rm(reg());
    if (opcode <= 0x8b) return is(Does::kMoves, reg(), rm());
    if (opcode == 0x8d) {
      is(Does::kMoves, reg(), out_.base);
      out_.memory = out_.by_ip = false;
      return;
    }
    is(out_.memory ? Does::kStores : Does::kComputes, rm());
  }

  void group_90(Byte opcode) {
    if (opcode == 0x90 || opcode == 0x9b) return is(Does::kMoves);  // pause, too
    if (opcode == 0x98) return is(Does::kMoves, bit(kAx));          // extends the sign
    if (opcode == 0x99) return is(Does::kMoves, bit(2), bit(kAx));
    if (opcode == 0x9a) return void(bad_ = true);
    computes(bit(kAx) | bit(extended(opcode & 7u, 0)));
  }

  void group_a0(Byte opcode) {
    if (opcode == 0xa8 || opcode == 0xa9) return skip(opcode == 0xa8 ? 1 : word()), compares(bit(kAx));
    if (opcode < 0xa4) skip(8);
    is(Does::kStores);
  }

  void others(Byte opcode) {
    switch (opcode) {
      case 0x63:
        return modes(), is(Does::kMoves, reg(), rm());
      case 0x68:
        return skip(word()), is(Does::kMoves);
      case 0x69:
        return modes(word()), skip(word()), computes(reg());
      case 0x6a:
        return skip(1), is(Does::kMoves);
      case 0x6b:
        return modes(1), skip(1), computes(reg());
      case 0xc0:
      case 0xc1:
        return modes(1), skip(1), changes_rm();
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return modes(), changes_rm();
      case 0xc2:
        return skip(2), is(Does::kReturns);
      case 0xc3:
        return is(Does::kReturns);
      case 0xc6:
        return modes(1), skip(1), moves_to_rm(0);
      case 0xc7:
        return modes(word()), skip(word()), moves_to_rm(0);
      case 0xc9:
        return computes(bit(kSp) | bit(kBp));
      case 0xe0:
      case 0xe1:
      case 0xe2:
      case 0xe3:
        skip(1);
        return is(Does::kUnknown);
      case 0xe8:
        return leads(Does::kCalls, take_number<std::int32_t>());
      case 0xe9:
        return leads(Does::kJumps, take_number<std::int32_t>());
      case 0xeb:
        return leads(Does::kJumps, take_number<std::int8_t>());
      case 0xf6:
      case 0xf7:
        return group_f6(opcode);
      case 0xfe:
        return modes(), changes_rm();
      case 0xff:
        return group_ff();
      case 0xcc:
      case 0xf4:
        return is(Does::kReturns);  // nothing comes after a trap
      case 0xcd:
        return skip(1), is(Does::kUnknown);
      default:
        bad_ = true;
    }
  }

  void group_f6(Byte opcode) {
    const unsigned size = opcode == 0xf6 ? 1 : word();
    const bool test = at_ < code_.size() && (std::to_integer<Byte>(code_[at_]) >> 3 & 7) < 2;
    modes(test ? size : 0);
    if (test) return skip(size), compares(rm());
    if (field_ < 4) return changes_rm();
    computes(bit(kAx) | bit(2));
  }

  void group_ff() {
    modes();
    if (field_ < 2) return changes_rm();
    if (field_ == 6) return is(Does::kMoves, 0, rm());
    if (field_ == 2 && out_.by_ip) return is(Does::kCallsBy);
    if (field_ == 4 && out_.by_ip) return is(Does::kJumpsBy);
    is(Does::kUnknown);
  }

  void two_bytes(Byte opcode) {
    if (opcode == 0x38) return take(), modes(), computes(reg() | rm());
    if (opcode == 0x3a) return take(), modes(1), skip(1), changes_rm();
    if (in(opcode, 0x80, 0x8f)) return leads(Does::kBranches, take_number<std::int32_t>());
    if (opcode == 0x0b) return is(Does::kReturns);  // ud2
    if (opcode == 0x05 || opcode == 0x07 || in(opcode, 0x34, 0x35)) return is(Does::kUnknown);
    constexpr Byte kAlone[] = {0x06, 0x08, 0x09, 0x0e, 0x30, 0x31, 0x32, 0x33, 0x37,
                               0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa};
    if (is_one_of(opcode, kAlone)) return computes(bit(kAx) | bit(1) | bit(2) | bit(3));
    if (in(opcode, 0xc8, 0xcf)) return computes(bit(extended(opcode & 7u, 0)));
    constexpr Byte kNumber[] = {0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6};
    const unsigned immediate = is_one_of(opcode, kNumber) ? 1 : 0;
    modes(immediate);
    skip(immediate);
    two_bytes_with_modes(opcode);
  }

  void two_bytes_with_modes(Byte opcode) {
    if (opcode == 0x0d || in(opcode, 0x18, 0x1f)) {  // no-ops and prefetches
      out_.memory = false;
      return is(Does::kMoves);
    }
    if (in(opcode, 0x40, 0x4f)) return is(Does::kMoves, reg(), rm());
    if (in(opcode, 0x90, 0x9f)) return moves_to_rm(0);
    if (opcode == 0xa3 || (opcode == 0xba && field_ == 4)) return compares(rm() | reg());
    if (is_one_of(opcode, {0xab, 0xb3, 0xbb, 0xba})) {
      is(out_.memory ? Does::kTries : Does::kComputes, rm(), rm() | reg());
      out_.sets_flags = true;
      return;
    }
    if (opcode == 0xb0 || opcode == 0xb1 || (opcode == 0xc7 && field_ == 1)) {
      is(out_.memory ? Does::kTries : Does::kComputes, bit(kAx) | rm(), reg());
      out_.sets_flags = true;
      return;
    }
    if (is_one_of(opcode, {0xb6, 0xb7, 0xbe, 0xbf})) return is(Does::kMoves, reg(), rm());
    if (opcode == 0xae && !out_.memory) return is(Does::kMoves);  // fences
    vector_effect(opcode);
  }

  /// Loads and computations count as the latter; their registers are not the general ones.
  void vector_effect(Byte opcode) {
    const bool stores = is_one_of(opcode, {0x11, 0x13, 0x17, 0x29, 0x2b, 0x7f, 0xd6, 0xe7, 0xc3,
                                           0xc0, 0xc1, 0xae}) ||
                        (opcode == 0x7e && !repeat_) || opcode == 0xc7;
    if (stores && out_.memory) {
      is(Does::kStores);
      out_.plain_store = !is_one_of(opcode, {0xc0, 0xc1, 0xae, 0xc7});
      return;
    }
    computes(reg() | rm());
  }

  void vector(Byte opcode) {
    unsigned map = 1;
    if (opcode == 0xc5) {
      take();
    } else if (opcode == 0xc4) {
      map = take() & 0x1fu;
      take();
    } else {
      map = take() & 7u;
      skip(2);
    }
    const Byte operation = take();
    if (map == 1 && operation == 0x77) return is(Does::kMoves);
    constexpr Byte kNumber[] = {0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6};
    const unsigned immediate = map == 3 || (map == 1 && is_one_of(operation, kNumber)) ? 1 : 0;
    modes(immediate);
    skip(immediate);
    if (out_.memory && map != 1) return is(Does::kStores);
    vector_effect(operation);
  }

  std::span<const std::byte> code_;
  std::size_t at_ = 0;
  Instruction out_;
  Byte rex_ = 0;
  bool half_ = false, repeat_ = false, bad_ = false;
  unsigned field_ = 0, reg_ = 0, rm_ = 0;
};

}  // namespace

std::optional<Instruction> decode(std::span<const std::byte> code) {
  constexpr std::size_t kLongest = 15;
  return Decoder(code.first(std::min(code.size(), kLongest))).decode();
}

}  // namespace forkscope::x86
