#include "detector/inspect/frame_base.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace forkscope {
namespace {

using Code = std::span<const std::byte>;

constexpr std::uint8_t kSp = 4, kBp = 5;  // numbers of registers in instructions

std::uint8_t at(Code code, std::size_t i) { return i < code.size() ? std::uint8_t(code[i]) : 0; }

std::int32_t int32_at(Code code, std::size_t i) {
  std::int32_t value = 0;
  if (i + sizeof value <= code.size()) std::memcpy(&value, &code[i], sizeof value);
  return value;
}

/// The part of an instruction that says what it works on (Intel SDM, volume 2, chapter 2).
struct Instruction {
  bool wide = false;  ///< 64-bit operands
  bool extended_reg = false, extended_rm = false;
  std::uint16_t opcode = 0;  ///< 0x0f.. for those of two bytes
  std::uint8_t mode = 0, reg = 0, rm = 0;
  std::int32_t displacement = 0, immediate = 0;
  std::uint8_t base = 0xff;  ///< register of a memory operand without index
  std::size_t size = 0;

  bool is_register(std::uint8_t number) const { return mode == 3 && rm == number && !extended_rm; }
  bool to_register(std::uint8_t number) const { return reg == number && !extended_reg; }
};

enum class Immediate { kNone, kByte, kWord, kUnknown };

// Opcodes, in order, with a ModRM byte and no immediate operand, one of a byte, one of four.
constexpr std::uint16_t kPlain[] = {
    0x01,   0x03,   0x09,   0x0b,   0x21,   0x23,   0x29,   0x2b,   0x31,   0x33,   0x38,   0x39,
    0x3a,   0x3b,   0x63,   0x84,   0x85,   0x88,   0x89,   0x8a,   0x8b,   0x8d,   0xd1,   0xd3,
    0x0f10, 0x0f11, 0x0f12, 0x0f13, 0x0f14, 0x0f16, 0x0f17, 0x0f1e, 0x0f1f, 0x0f28, 0x0f29, 0x0f57,
    0x0f6c, 0x0f6e, 0x0f6f, 0x0f7e, 0x0f7f, 0x0faf, 0x0fb6, 0x0fb7, 0x0fbe, 0x0fbf, 0x0fd6, 0x0fef};
constexpr std::uint16_t kWithByte[] = {0x6b, 0x80, 0x83, 0xc0, 0xc1, 0xc6};
constexpr std::uint16_t kWithWord[] = {0x69, 0x81, 0xc7};

template <std::size_t N>
bool is_in(const std::uint16_t (&sorted)[N], std::uint16_t opcode) {
  return std::binary_search(std::begin(sorted), std::end(sorted), opcode);
}

Immediate immediate_of(std::uint16_t opcode, std::uint8_t reg) {
  const bool conditional = (opcode >= 0x0f40 && opcode <= 0x0f4f) ||  // cmov
                           (opcode >= 0x0f90 && opcode <= 0x0f9f);    // set
  if (conditional || is_in(kPlain, opcode)) return Immediate::kNone;
  if (is_in(kWithByte, opcode)) return Immediate::kByte;
  if (is_in(kWithWord, opcode)) return Immediate::kWord;
  if (opcode == 0xf6 || opcode == 0xf7) {  // test, or not, neg, mul, div
    return reg > 1 ? Immediate::kNone : opcode == 0xf6 ? Immediate::kByte : Immediate::kWord;
  }
  // inc, dec, push
  if (opcode == 0xff && (reg <= 1 || reg == 6)) return Immediate::kNone;
  return Immediate::kUnknown;
}

/// An instruction with a ModRM byte that compilers put into prologues.
std::optional<Instruction> decode(Code code) {
  Instruction one;
  std::size_t i = 0;
  while (at(code, i) == 0x66 || at(code, i) == 0xf2 || at(code, i) == 0xf3 || at(code, i) == 0x64) {
    ++i;
  }
  if ((at(code, i) & 0xf0) == 0x40) {
    const std::uint8_t rex = at(code, i++);
    one.wide = (rex & 8) != 0;
    one.extended_reg = (rex & 4) != 0;
    one.extended_rm = (rex & 1) != 0;
  }
  one.opcode = at(code, i++);
  if (one.opcode == 0x0f) one.opcode = std::uint16_t(0x0f00 | at(code, i++));
  const std::uint8_t modrm = at(code, i++);
  one.mode = modrm >> 6;
  one.reg = modrm >> 3 & 7;
  one.rm = modrm & 7;
  const Immediate immediate = immediate_of(one.opcode, one.reg);
  const bool short_words = at(code, 0) == 0x66;  // immediate operands have two bytes then
  if (immediate == Immediate::kUnknown || (short_words && immediate == Immediate::kWord)) {
    return std::nullopt;
  }
  bool wide_displacement = one.mode == 2;
  if (one.mode != 3) {
    one.base = one.rm;
    if (one.rm == 4) {
      const std::uint8_t sib = at(code, i++);
      one.base = (sib >> 3 & 7) == 4 ? sib & 7 : 0xff;
      if (one.mode == 0 && (sib & 7) == 5) wide_displacement = true;
    } else if (one.mode == 0 && one.rm == 5) {
      wide_displacement = true;
    }
    if (wide_displacement) {
      one.displacement = int32_at(code, i);
      i += 4;
    } else if (one.mode == 1) {
      one.displacement = std::int8_t(at(code, i++));
    }
  }
  if (immediate == Immediate::kByte) {
    one.immediate = std::int8_t(at(code, i++));
  } else if (immediate == Immediate::kWord) {
    one.immediate = int32_at(code, i);
    i += 4;
  }
  one.size = i;
  return i <= code.size() ? std::optional(one) : std::nullopt;
}

/// Keeps account of bp - sp while the first instructions go by.
class Prologue {
 public:
  enum class Next { kOn, kDone, kNotUnderstood };
  /// Looks at the first instruction; `used` is its size.
  Next take(Code code, std::size_t& used) {
    const std::uint8_t first = at(code, 0);
    const bool prefixed = (first & 0xf0) == 0x40;
    const std::uint8_t opcode = prefixed ? at(code, 1) : first;
    used = prefixed ? 2 : 1;
    if (opcode >= 0x50 && opcode <= 0x57) {
      if (frame_) result_.size += 8;
      return Next::kOn;
    }
    if (opcode >= 0xb8 && opcode <= 0xbf) {
      used += prefixed && (first & 8) != 0 ? 8 : 4;
      return Next::kOn;
    }
    const bool near = opcode >= 0x70 && opcode <= 0x7f;
    if (near || (opcode == 0x0f && at(code, used) >= 0x80 && at(code, used) <= 0x8f)) {
      used += near ? 1 : 5;
      return frame_ ? Next::kDone : Next::kOn;  // an early return may come before the frame
    }
    if (opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb || opcode == 0xc3) {
      return frame_ ? Next::kDone : Next::kNotUnderstood;
    }
    if (opcode == 0xff && ((at(code, used) >> 3) & 7) >= 2 && ((at(code, used) >> 3) & 7) <= 5) {
      return frame_ ? Next::kDone : Next::kNotUnderstood;
    }
    const auto one = decode(code);
    if (!one) return Next::kNotUnderstood;
    used = one->size;
    return apply(*one) ? Next::kOn : Next::kNotUnderstood;
  }
  bool frame() const { return frame_; }
  FrameSize result() const { return result_; }

 private:
  bool apply(const Instruction& one) {
    const bool move_to_bp =
        one.wide && ((one.opcode == 0x89 && one.is_register(kBp) && one.to_register(kSp)) ||
                     (one.opcode == 0x8b && one.is_register(kSp) && one.to_register(kBp)));
    if (move_to_bp) {
      frame_ = true;
      result_ = {};
      return true;
    }
    if ((one.opcode == 0x81 || one.opcode == 0x83) && one.is_register(kSp)) {
      if (one.reg == 5) return grow(one.immediate);
      if (one.reg == 0) return grow(-std::int64_t(one.immediate));
      if (one.reg == 4 && one.immediate < 0) {
        if (frame_) result_.alignment = std::uint64_t(-std::int64_t(one.immediate));
        return true;
      }
      return one.reg == 7;  // a comparison
    }
    if (one.opcode == 0x8d && one.to_register(kSp)) {
      return one.base == kSp && one.mode != 0 && !one.extended_rm && grow(-one.displacement);
    }
    if (one.opcode == 0xff && one.reg == 6) return grow(8);
    const bool writes_rm = one.opcode == 0x89 || one.opcode == 0x01 || one.opcode == 0x29 ||
                           one.opcode == 0x21 || one.opcode == 0x31 || one.opcode == 0x09;
    if (writes_rm && (one.is_register(kSp) || (frame_ && one.is_register(kBp)))) return false;
    const bool writes_reg = one.opcode == 0x8b || one.opcode == 0x03 || one.opcode == 0x2b ||
                            one.opcode == 0x23 || one.opcode == 0x33 || one.opcode == 0x0b;
    return !(writes_reg && (one.to_register(kSp) || (frame_ && one.to_register(kBp))));
  }

  bool grow(std::int64_t bytes) {
    if (!frame_) return true;
    result_.size += std::uint64_t(bytes);
    return result_.size < (std::uint64_t{1} << 32);
  }

  bool frame_ = false;
  FrameSize result_;
};

}  // namespace

std::optional<FrameSize> frame_size(Code code) {
  constexpr std::size_t kMostBytes = 512;
  Prologue prologue;
  for (std::size_t i = 0; i < code.size() && i < kMostBytes;) {
    std::size_t used = 0;
    const Prologue::Next next = prologue.take(code.subspan(i), used);
    if (next == Prologue::Next::kNotUnderstood) return std::nullopt;
    if (next == Prologue::Next::kDone) break;
    i += used;
  }
  if (!prologue.frame()) return std::nullopt;
  return prologue.result();
}

bool moves_stack_by_data(Code code) {
  for (std::size_t i = 0; i + 3 <= code.size(); ++i) {
    if ((at(code, i) & 0xf8) != 0x48) continue;  // 64-bit operands
    const bool extended_reg = (at(code, i) & 4) != 0, extended_rm = (at(code, i) & 1) != 0;
    const std::uint8_t opcode = at(code, i + 1), modrm = at(code, i + 2);
    const bool into_rm = (modrm & 0xc7) == 0xc4 && !extended_rm;
    const bool into_reg = (modrm & 0x38) == 0x20 && !extended_reg;
    if (into_rm && (opcode == 0x29 || opcode == 0x01 || opcode == 0x89)) return true;
    // An address relative to bp is not data: the epilogue of a function with a frame pointer.
    const bool from_bp = (modrm & 0x07) == kBp && !extended_rm && (modrm >> 6) != 0;
    if (into_reg &&
        (opcode == 0x2b || opcode == 0x03 || opcode == 0x8b || (opcode == 0x8d && !from_bp))) {
      return true;
    }
  }
  return false;
}

std::uint64_t arguments_removed(Code code) {
  if (code.size() < 7 || at(code, 0) != 0x48 || at(code, 2) != 0xc4) return 0;
  if (at(code, 1) == 0x83) return at(code, 3) < 0x80 ? at(code, 3) : 0;
  if (at(code, 1) == 0x81) return int32_at(code, 3) > 0 ? std::uint64_t(int32_at(code, 3)) : 0;
  return 0;
}

CallBefore call_before(Code code) {
  const std::size_t n = code.size();
  if (n >= 5 && at(code, n - 5) == 0xe8) return {CallBefore::Kind::kDirect, int32_at(code, n - 4)};
  if (n >= 6 && at(code, n - 6) == 0xff && at(code, n - 5) == 0x15) {
    return {CallBefore::Kind::kThrough, int32_at(code, n - 4)};
  }
  for (std::size_t size = 2; size <= 7 && size <= n; ++size) {
    if (at(code, n - size) != 0xff) continue;
    const std::uint8_t modrm = at(code, n - size + 1);
    if ((modrm >> 3 & 7) != 2) continue;
    std::size_t expected = 2;
    const std::uint8_t mode = modrm >> 6, rm = modrm & 7;
    if (mode != 3) {
      expected += mode == 1 ? 1 : mode == 2 || (mode == 0 && rm == 5) ? 4 : 0;
      if (rm == 4) expected += mode == 0 && (at(code, n - size + 2) & 7) == 5 ? 5 : 1;
    }
    if (size == expected) return {CallBefore::Kind::kComputed, 0};
  }
  return {};
}

std::optional<std::int64_t> linkage_slot(Code code) {
  std::size_t i = 0;
  if (at(code, 0) == 0xf3 && at(code, 1) == 0x0f && at(code, 2) == 0x1e && at(code, 3) == 0xfa) {
    i = 4;  // endbr64
  }
  if (at(code, i) == 0xf2) ++i;  // bnd
  if (at(code, i) != 0xff || at(code, i + 1) != 0x25 || i + 6 > code.size()) return std::nullopt;
  return std::int64_t(i) + 6 + int32_at(code, i + 2);
}

}  // namespace forkscope
