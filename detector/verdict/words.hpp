// Words for the enumerations of the record format, and for locks and threads in sentences.
// Pure functions; thread-safe. The words are part of the report schema where they fill a field.
#pragma once

#include <cstdint>
#include <string>

#include "detector/record/record.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

std::string kind_word(record::Kind kind);
std::string severity_word(record::Severity severity);
std::string api_word(record::Api api);
std::string call_word(record::Call call);
std::string outcome_word(record::Outcome outcome);
std::string evidence_word(record::Evidence evidence);
std::string phase_word(record::HandlerPhase phase);
/// The evidence for a lock that was held at a fork.
std::string evidence_word(const record::HeldLock& held);
std::string thread_state_word(record::ThreadState state);
/// "mutex", "robust recursive mutex", "condition variable", ...
std::string lock_type_words(record::LockType type, std::uint8_t flags);
/// A clause after a program's path: "is statically linked".
std::string not_observed_clause(record::NotObserved reason);

/// Whether the call comes back by itself: it is no deadlock, but it will not succeed either.
bool is_try(record::Call call);
bool is_timed(record::Call call);
/// Whether it waits for a condition variable rather than a mutex.
bool is_condition_wait(record::Call call);

/// "pthread_mutex_lock()", "syscall(SYS_fork)", "a memory access".
std::string call_words(const std::string& name);
/// "read" or "write" for locks that know both, else empty.
std::string mode_word(record::LockType type, std::uint8_t flags);
/// "MADV_DONTFORK"; empty when it is none that a fork cares about.
std::string advice_word(std::uint32_t advice);
/// "SIGSEGV"; "signal 60" where it has no name.
std::string signal_word(int signal);

/// A name that may fill its array without a NUL.
std::string thread_name(const char (&name)[record::kThreadNameSize]);
/// "thread 4711 (row-reader)"; "a thread" when the TID is unknown.
std::string thread_words(std::int32_t tid, const std::string& name);
/// "mutex orders.file_lock", "mutex at libfoo.so+0x120", "mutex at 0x7f12...",
/// "flock lock on /run/app.lock (descriptor 5)".
std::string lock_words(const LockInfo& lock);

/// "12 %", "0.3 %", "less than 0.01 %" of parts per million.
std::string share_words(std::uint32_t per_million);
/// CPython: its executable, or the library that it is embedded by.
bool is_python_module(const std::string& path);
std::string base_name(const std::string& path);
/// "a mutex", "an adaptive mutex".
std::string with_article(const std::string& noun);
/// First letter in upper case, for the start of a sentence.
std::string capitalised(std::string text);

}  // namespace forkscope
