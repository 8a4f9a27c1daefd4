// What stays the same of a finding: from child to child, run to run, machine to machine.
//
//   v1-3f0c2a9be1d45c07     "v1-" and 64 bits of a hash over
//     kind    those of waits in vain count as one
//     lock    the name the program gave it, or variable and module; of a lock without either (heap,
//             stack, mapped memory) only the sites tell which it is
//     sites   function and module of who met it in the child, and in Python functions and files; if
//             nobody did, of who forked; of a lock without a name also of who took it
//   unidentified            where no lock and no site is of the program or a library of it
//
// Of a stack the innermost function counts that is neither the C or C++ library's nor an
// interpreter's, and never one that was inlined: with and without debug information it is the same.
// Of a Python stack the innermost three outside the standard library count, and what the innermost
// of them called in it. Modules count by file name without directory and version. Addresses, lines,
// process and thread ids never count; offsets only where there is no symbol, and then the
// fingerprint is that of one build. The type of a lock counts with its name only: the library and
// who looks from outside, a report and a core file give one hang one fingerprint.
//
// Without a place in the program all programs with such a hang would have one fingerprint: then it
// is "unidentified", which equals nothing, itself included.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

inline constexpr std::string_view kFingerprintPrefix = "v1-";

inline constexpr std::string_view kUnidentified = "unidentified";

/// `aspect`: what else tells the finding from others of its kind, lock and sites; mostly nothing.
std::string fingerprint_of(const Finding& finding, const std::string& aspect = {});
/// The same where there is no place in the program, too: equal for findings that look alike, which
/// need not be one. Not to be shown.
std::string finding_key(const Finding& finding, const std::string& aspect = {});
/// Of this version, and not unidentified.
bool is_fingerprint(std::string_view text);

/// The same for people, with nothing in it that changes: "mutex orders.file_lock (reader), met in
/// read_all (reader)".
std::string site_words(const Finding& finding);

/// "std::f<int>(char) const" gives "std::f<int>".
std::string without_parameters(std::string_view function);
/// "/usr/lib/libfoo.so.1.2 (deleted)" gives "libfoo.so".
std::string module_name(std::string_view path);

/// The frame of a stack that counts; null when it has none.
const Frame* site_of(const std::vector<Frame>& stack);

}  // namespace forkscope
