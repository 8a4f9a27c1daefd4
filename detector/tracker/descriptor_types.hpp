// What a descriptor of this process is, asked of the kernel. Async-signal-safe, fork-safe,
// thread-safe: raw system calls, no state.
#pragma once

#include "detector/record/descriptors.hpp"

namespace forkscope::descriptor_types {

/// Fills number, type, access mode, device, inode and, of sockets, traits. Gives whether it is of a
/// type that is worth sharing's trouble: not a plain file, a terminal, /dev/null, or closed.
bool describe(int descriptor, record::SharedDescriptor& one);

/// Whether an eventfd is a semaphore: kSemaphore, kNoSemaphore, or 0.
std::uint8_t semaphore_traits(int descriptor);

/// Whether device and inode tell it from others of its type: the kernel gives all of epoll, inotify
/// and eventfd the same ones.
constexpr bool has_inode(record::DescriptorType type) {
  using record::DescriptorType;
  return type != DescriptorType::kEpoll && type != DescriptorType::kInotify &&
         type != DescriptorType::kEventfd;
}

}  // namespace forkscope::descriptor_types
