// The next definitions of the functions in detector/record/descriptor_calls.def: the table that
// descriptor_noted.S jumps through. Filled by the constructor; what is called earlier is looked up
// by itself, and twice writes the same. Thread-safe.
#pragma once

namespace forkscope {

/// All of them.
void look_up_next_of_descriptors();

}  // namespace forkscope
