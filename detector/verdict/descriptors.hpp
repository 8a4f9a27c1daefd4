// Descriptors that a forked child shares with its parent: what of it is worth a finding, and the
// words for it. Pure; thread-safe but for the names of the address spaces.
//
// A finding is made where two processes take from, or put into, the same open file, so that each
// gets what was meant for the other; and where a child ended without ever using what it kept open,
// which keeps a reader from the end of a pipe, and a peer from seeing a connection closed. A child
// that closes what it does not need, executes another program, or is given a descriptor for itself
// alone, is not reported.
#pragma once

#include <string>
#include <vector>

#include "detector/record/descriptors.hpp"
#include "detector/verdict/findings.hpp"

namespace forkscope {

/// Why it is told.
enum class SharedUse {
  kBoth,      ///< parent and child used it alike
  kSiblings,  ///< two children of one parent did
  kKept,      ///< the child had it to its end, and did not use it
};

struct SharedDescriptorFacts {
  const record::SharedDescriptor& descriptor;
  SharedUse shared;
  record::DescriptorUse use = record::DescriptorUse::takes;  ///< not with kKept
  std::int32_t child = 0, parent = 0;
  std::int32_t other = 0;  ///< the process that used it, too; 0: nobody was seen to
};

std::vector<Candidate> shared_descriptors(const Context& context,
                                          const std::vector<ChildOutcome>& outcomes);

// descriptor_words.cpp
std::string descriptor_words(record::DescriptorType type);  ///< "pipe", "connection", ...
std::string descriptor_call_word(std::uint32_t call);       ///< "recv"; "" for none
std::string descriptor_evidence(SharedUse shared);
std::string descriptor_verdict(const SharedDescriptorFacts& facts);
std::string descriptor_explanation(const SharedDescriptorFacts& facts);
std::string descriptor_cure(const SharedDescriptorFacts& facts, bool python);

}  // namespace forkscope
