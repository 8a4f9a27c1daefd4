// See heap.cpp.
#pragma once

namespace forkscope {

/// Whether every free() and operator delete of the program passes this library, and the size of a
/// block can be asked for. Called by the constructor.
bool sees_all_frees();

}  // namespace forkscope
