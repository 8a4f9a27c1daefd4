// A process that forks for others: small and with one thread, whatever its client has become.
//
// The fork server forks when it is asked to, by a byte over a Unix socket. The zygote's children
// are forked before they are asked for: a byte in the task pipe wakes one, and the server forks the
// next. Both tell their client by a byte when a child was reaped.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/cost/measure/launch.hpp"

namespace forkscope::cost {

/// `ready` 0 is a fork server. It ends with its client.
std::unique_ptr<Launcher> make_server(Contact& contact, std::uint64_t ready);

}  // namespace forkscope::cost
