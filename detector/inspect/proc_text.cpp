#include "detector/inspect/proc_text.hpp"

#include <charconv>

namespace forkscope {
namespace {

/// Takes blank-separated fields off the front of a text.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}

  std::string_view next() {
    skip_blanks();
    std::string_view field = rest_.substr(0, rest_.find_first_of(" \t\n"));
    rest_.remove_prefix(field.size());
    return field;
  }
  void skip(int fields) {
    while (fields-- > 0) next();
  }
  template <class T>
  bool number(T& out, int base = 10) {
    std::string_view field = next();
    if (base == 16 && field.starts_with("0x")) field.remove_prefix(2);
    const char* end = field.data() + field.size();
    auto [stop, error] = std::from_chars(field.data(), end, out, base);
    return error == std::errc{} && stop == end && !field.empty();
  }
  /// What is left, without leading blanks.
  std::string_view rest() {
    skip_blanks();
    return rest_;
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
  }
  std::string_view rest_;
};

template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    visit(line);
  }
}

std::optional<Mapping> parse_mapping(std::string_view line) {
  Mapping mapping;
  const std::size_t dash = line.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  Fields start(line.substr(0, dash)), rest(line.substr(dash + 1));
  if (!start.number(mapping.start, 16) || !rest.number(mapping.end, 16)) return std::nullopt;
  std::string_view rights = rest.next();
  if (rights.size() != 4 || mapping.end <= mapping.start) return std::nullopt;
  mapping.readable = rights[0] == 'r';
  mapping.writable = rights[1] == 'w';
  mapping.executable = rights[2] == 'x';
  mapping.shared = rights[3] == 's';
  if (!rest.number(mapping.offset, 16)) return std::nullopt;
  rest.next();  // device
  if (!rest.number(mapping.inode)) return std::nullopt;
  mapping.path = rest.rest();
  return mapping;
}

}  // namespace

std::vector<std::string> split_at_nul(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\0', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::optional<ProcStat> parse_stat(std::string_view text) {
  ProcStat stat;
  // The name may hold blanks and parentheses: what follows the last ')' does not.
  const std::size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open)
    return std::nullopt;
  stat.name = text.substr(open + 1, close - open - 1);
  Fields id(text.substr(0, open)), fields(text.substr(close + 1));
  if (!id.number(stat.id)) return std::nullopt;
  std::string_view state = fields.next();
  if (state.size() != 1) return std::nullopt;
  stat.state = state[0];
  std::uint64_t user = 0, system = 0;
  if (!fields.number(stat.parent)) return std::nullopt;
  fields.skip(4);  // process group, session, terminal, its process group
  if (!fields.number(stat.flags)) return std::nullopt;
  fields.skip(4);  // page faults
  if (!fields.number(user) || !fields.number(system)) return std::nullopt;
  stat.cpu_ticks = user + system;
  fields.skip(4);  // children's times, priority, nice
  if (!fields.number(stat.threads)) return std::nullopt;
  fields.skip(1);
  if (!fields.number(stat.start)) return std::nullopt;
  return stat;
}

std::optional<ProcStatus> parse_status(std::string_view text) {
  ProcStatus status;
  bool any = false;
  each_line(text, [&](std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string_view key = line.substr(0, colon);
    Fields value(line.substr(colon + 1));
    std::uint64_t number = 0;
    any = true;
    if (key == "NSpid") {
      std::int32_t id = 0;
      while (value.number(id)) status.ids.push_back(id);
    } else if (key == "TracerPid") {
      value.number(status.tracer);
    } else if (key == "Uid") {
      value.number(status.uid);
    } else if (key == "SigCgt") {
      value.number(status.caught, 16);
    } else if (key == "voluntary_ctxt_switches" || key == "nonvoluntary_ctxt_switches") {
      status.has_switches = value.number(number);
      status.switches += number;
    }
  });
  return any ? std::optional(status) : std::nullopt;
}

std::optional<SyscallText> parse_syscall(std::string_view text) {
  SyscallText result;
  Fields fields(text.substr(0, text.find('\n')));
  if (fields.rest().starts_with("running")) {
    result.running = true;
    return result;
  }
  SystemCall& call = result.call;
  if (!fields.number(call.number)) return std::nullopt;
  // "-1 SP PC": blocked, but not by a system call.
  if (call.number >= 0)
    for (std::uint64_t& argument : call.arguments)
      if (!fields.number(argument, 16)) return std::nullopt;
  if (!fields.number(call.sp, 16) || !fields.number(call.pc, 16)) return std::nullopt;
  return result;
}

std::vector<Mapping> parse_maps(std::string_view text) {
  std::vector<Mapping> mappings;
  each_line(text, [&](std::string_view line) {
    if (auto mapping = parse_mapping(line)) mappings.push_back(*std::move(mapping));
  });
  return mappings;
}

}  // namespace forkscope
