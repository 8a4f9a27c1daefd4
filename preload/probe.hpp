// The child of fork:probe: how it is made, and what it does. When one is made, and what is told of
// it, is in detector/tracker/inject_probe.hpp.
#pragma once

namespace forkscope::probe_fork {

/// From now on probes can be made. Called once, by the constructor.
void start();

/// The at-fork handlers of this library: prepare runs last, parent and child first.
void prepare();
void in_parent();
/// Before the tracker is told of the fork: makes this process a probe's child, if it is one.
void in_child();

}  // namespace forkscope::probe_fork
