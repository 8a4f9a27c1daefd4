#include "detector/tracker/held_tables.hpp"

namespace forkscope {

constexpr HeldTables Registry::describe(const Registry& of, const Process& in) {
  return {{'F', 'K', 'S', 'H', 'E', 'L', 'D', '\0'},
          kHeldTablesVersion,
          held_tables_layout(),
          of.chunks_,
          &of.used_,
          &in.pid,
          &in.generation};
}

// The loader writes the addresses into it, and nobody anything else.
extern "C" {
[[gnu::visibility("default")]] extern const HeldTables forkscope_held_tables;
constinit const HeldTables forkscope_held_tables = Registry::describe(registry, process);
}

}  // namespace forkscope
