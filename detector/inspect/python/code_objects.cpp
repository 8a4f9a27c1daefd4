#include "detector/inspect/python/code_objects.hpp"

#include "detector/inspect/python/field.hpp"

namespace forkscope::python {

constexpr std::size_t kMostHeld = 64 << 20;  // bytes: what a program has of code is far less

const Code* CodeObjects::find(std::uint64_t address) {
  const std::optional<Identity> now = identity(address);
  if (!now) return nullptr;
  const auto at = known_.find(address);
  if (at != known_.end() && at->second.identity == *now) return &at->second.code;
  std::optional<Code> code = read(address, *now);
  if (!code) return nullptr;
  held_ += code->lines.size() + code->function.size() + code->file.size();
  for (const std::string& name : code->names) held_ += name.size() + sizeof name;
  if (held_ > kMostHeld) {
    known_.clear();
    held_ = 0;
  }
  Known& known = known_[address];
  known = {*now, std::move(*code)};
  return &known.code;
}

std::optional<CodeObjects::Identity> CodeObjects::identity(std::uint64_t address) {
  if (address % 8 != 0) return std::nullopt;
  const std::vector<std::byte> bytes = read_span(memory_, address, layout_.code_span());
  if (bytes.empty()) return std::nullopt;
  Identity result;
  result.type = field<std::uint64_t>(bytes, layout_.object_type);
  if (!objects_.is(result.type, ObjectType::kCode)) return std::nullopt;
  result.function = field<std::uint64_t>(bytes, layout_.code_qualname != InterpreterLayout::kNone
                                                    ? layout_.code_qualname
                                                    : layout_.code_name);
  result.file = field<std::uint64_t>(bytes, layout_.code_file);
  result.lines = field<std::uint64_t>(bytes, layout_.code_line_table);
  result.names = field<std::uint64_t>(bytes, layout_.code_names);
  result.first_line = field<std::int32_t>(bytes, layout_.code_first_line);
  return result;
}

std::vector<std::string> CodeObjects::texts(std::uint64_t tuple) {
  std::vector<std::string> all;
  for (const std::uint64_t name : objects_.items(tuple))
    if (auto text = objects_.text(name)) all.push_back(*std::move(text));
  return all;
}

std::optional<Code> CodeObjects::read(std::uint64_t address, const Identity& identity) {
  std::optional<std::string> function = objects_.text(identity.function);
  std::optional<std::string> file = objects_.text(identity.file);
  if (!function || !file) return std::nullopt;
  Code code{std::move(*function), std::move(*file), identity.first_line, 0, {}, {}};
  code.names = texts(identity.names);
  // Without its table it is still a function of that name.
  if (auto lines = objects_.bytes(identity.lines)) code.lines = std::move(*lines);
  if (layout_.code_instructions != InterpreterLayout::kNone) {
    code.instructions = address + layout_.code_instructions;
  }
  return code;
}

}  // namespace forkscope::python
