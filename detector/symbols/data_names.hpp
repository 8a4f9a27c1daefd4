// Which variable, and which member of it, an address of static data belongs to. Not thread-safe.
#pragma once

#include <map>
#include <string>

#include "detector/symbols/module_file.hpp"

namespace forkscope {

/// Names static data of one file: "reader.file_lock", "shards[2].lock", "buffer+0x10".
class DataNames {
 public:
  explicit DataNames(ModuleFile& file) : file_(file) {}

  /// Empty when no variable is known to contain the address.
  std::string name(std::uint64_t address);
  /// The same by the file's symbol table alone, which has no members.
  std::string symbol(std::uint64_t address);

 private:
  struct Variable {
    Dwarf_Die die;
    std::uint64_t size = 0;  ///< 0 when its type does not say
  };
  enum class Depth {
    kGlobal,     ///< namespaces and files
    kFunctions,  ///< static variables of functions as well: a walk over everything
  };

  void load(Depth depth);
  void collect(Dwarf_Die* parent, Depth depth, int level);
  void add(Dwarf_Die* die);
  Variable* variable_at(std::uint64_t address, std::uint64_t& start);

  ModuleFile& file_;
  bool loaded_[2] = {};
  std::map<std::uint64_t, Variable> variables_;  ///< by start address
};

/// The path of members and array elements that leads `offset` bytes into an object of this type:
/// ".file_lock", "[2].lock", "+0x8" for what has no name. Members with names reserved for the
/// implementation (_M_mutex, __data) are not spelled out: nobody wrote them.
std::string member_path(Dwarf_Die type, std::uint64_t offset);

}  // namespace forkscope
