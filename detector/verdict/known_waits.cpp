#include "detector/verdict/known_waits.hpp"

#include <algorithm>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/outside/layout_functions.hpp"
#include "detector/verdict/outside/thread_view.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using enum Purpose;

enum Flag : unsigned {
  kWhole = 0,
  kStart = 1,      ///< the name is how the function's begins
  kInner = 2,      ///< a library may have built something more on it: what calls it counts more
  kCallsBack = 4,  ///< it calls functions of the program, which may wait for anything
};

struct Entry {
  std::string_view function;
  Purpose purpose;
  std::string_view type;
  unsigned flags = kWhole;
};

constexpr std::string_view kPythonLock = "Python lock";

// Names are those of Debian's packages where there is one, else of the projects' sources.
constexpr Entry kEntries[] = {
    // CPython (Python/thread_pthread.h, Python/lock.c, Modules/_queuemodule.c). Its lock is a
    // semaphore, and what threading waits with is made of it as well.
    {"PyThread_acquire_lock", kTaken, kPythonLock, kStart | kInner},
    {"acquire_timed", kUnknown, "", kInner},
    {"queue_SimpleQueue_get", kEvent, "Python queue", kStart},
    {"simplequeue_get", kEvent, "Python queue", kStart},
    {"PyEvent_Wait", kEvent, "Python event", kStart},
    {"PyMutex_Lock", kLock, "Python's internal mutex", kStart},
    {"PyRawMutex_Lock", kLock, "Python's internal mutex", kStart},
    {"PyRecursiveMutex_Lock", kLock, "Python's internal mutex", kStart},
    {"PyRWMutex_", kLock, "Python's internal read-write lock", kStart},
    {"PyOnceFlag_CallOnce", kLock, "Python's internal once flag", kStart},

    // GLib (glib/gthread-posix.c, gthread.c, gbitlock.c, gasyncqueue.c)
    {"g_mutex_lock", kLock, "GMutex", kStart},
    {"g_rec_mutex_lock", kLock, "GRecMutex", kStart},
    {"g_static_mutex_lock", kLock, "GMutex", kStart},
    {"g_static_rec_mutex_lock", kLock, "GRecMutex", kStart},
    {"g_rw_lock_", kLock, "GRWLock", kStart},
    {"g_static_rw_lock_", kLock, "GRWLock", kStart},
    {"g_bit_lock", kLock, "GLib bit lock", kStart},
    {"g_pointer_bit_lock", kLock, "GLib bit lock", kStart},
    {"g_once_impl", kLock, "GOnce", kCallsBack},
    {"g_once_init_enter", kLock, "GLib once flag", kStart},
    {"g_cond_wait", kEvent, "GCond", kStart | kInner},
    {"g_async_queue_", kEvent, "GAsyncQueue", kStart},
    {"g_thread_join", kEvent, ""},

    // Abseil (absl/synchronization). The same functions wait for the lock and for a condition under
    // it; the public one tells.
    {"absl::Mutex::Lock", kLock, "Abseil Mutex"},
    {"absl::Mutex::lock", kLock, "Abseil Mutex"},
    {"absl::Mutex::WriterLock", kLock, "Abseil Mutex"},
    {"absl::Mutex::ReaderLock", kLock, "Abseil Mutex"},
    {"absl::Mutex::lock_shared", kLock, "Abseil Mutex"},
    {"absl::Mutex::", kUnknown, "Abseil Mutex", kStart | kInner},
    {"absl::CondVar::Wait", kEvent, "Abseil CondVar", kStart},
    {"absl::Notification::", kEvent, "Abseil Notification", kStart},
    {"absl::BlockingCounter::", kEvent, "Abseil BlockingCounter", kStart},
    {"absl::Barrier::", kEvent, "Abseil Barrier", kStart},
    {"absl::base_internal::SpinLock::", kLock, "Abseil SpinLock", kStart},
    {"absl::base_internal::CallOnceImpl", kLock, "Abseil once flag", kStart | kCallsBack},
    {"absl::synchronization_internal::", kUnknown, "Abseil's waiter", kStart | kInner},
    {"absl::base_internal::SpinLock", kUnknown, "", kStart | kInner},  // SpinLockWait, ...Delay
    {"AbslInternal", kUnknown, "Abseil's waiter", kStart | kInner},

    // parking_lot (src/raw_mutex.rs, raw_rwlock.rs, once.rs, condvar.rs), lock_api and once_cell
    {"parking_lot::raw_mutex::", kLock, "parking_lot Mutex", kStart},
    {"parking_lot::raw_fair_mutex::", kLock, "parking_lot FairMutex", kStart},
    {"parking_lot::raw_rwlock::", kLock, "parking_lot RwLock", kStart},
    {"parking_lot::once::", kLock, "parking_lot Once", kStart | kCallsBack},
    {"parking_lot::condvar::", kEvent, "parking_lot Condvar", kStart},
    {"parking_lot_core::", kUnknown, "parking_lot lock", kStart | kInner},
    {"parking_lot::", kUnknown, "parking_lot lock", kStart | kInner},
    {"lock_api::mutex::", kLock, "", kStart},
    {"lock_api::rwlock::", kLock, "", kStart},
    {"lock_api::remutex::", kLock, "", kStart},
    {"once_cell::imp::", kLock, "once_cell OnceCell", kStart | kCallsBack},

    // folly
    {"folly::SharedMutexImpl::lock", kLock, "folly SharedMutex", kStart},
    {"folly::MicroLockCore::lockSlowPath", kLock, "folly MicroLock"},
    {"folly::MicroLockBase::lockSlowPath", kLock, "folly MicroLock"},
    {"folly::detail::distributed_mutex::", kLock, "folly DistributedMutex", kStart},
    {"folly::Baton::", kEvent, "folly Baton", kStart},
    {"folly::detail::futexWait", kUnknown, "", kStart | kInner},

    // Qt (corelib/thread)
    {"QMutex::", kLock, "QMutex", kStart},
    {"QBasicMutex::", kLock, "QMutex", kStart | kInner},
    {"QRecursiveMutex::", kLock, "QRecursiveMutex", kStart},
    {"QReadWriteLock::", kLock, "QReadWriteLock", kStart},
    {"QReadWriteLockPrivate::", kLock, "QReadWriteLock", kStart | kInner},
    {"QWaitCondition::wait", kEvent, "QWaitCondition", kStart | kInner},
    {"QSemaphore::", kEvent, "QSemaphore", kStart},
    {"QThread::wait", kEvent, "", kStart},
    {"QThreadPool::waitForDone", kEvent, "QThreadPool", kStart},

    // FFTW (threads/api.c, threads.c): the planner's lock and the workers' jobs are semaphores.
    {"fftw_mkapiplan", kTaken, "FFTW planner lock"},
    {"fftwf_mkapiplan", kTaken, "FFTW planner lock"},
    {"fftwl_mkapiplan", kTaken, "FFTW planner lock"},
    {"fftw_destroy_plan", kTaken, "FFTW planner lock"},
    {"fftwf_destroy_plan", kTaken, "FFTW planner lock"},
    {"fftwl_destroy_plan", kTaken, "FFTW planner lock"},
    {"fftw_spawn_loop", kEvent, "FFTW worker's semaphore"},
    {"fftwf_spawn_loop", kEvent, "FFTW worker's semaphore"},
    {"fftwl_spawn_loop", kEvent, "FFTW worker's semaphore"},

    // oneTBB: mutexes of its headers wait by address, as its task scheduler does.
    {"tbb::d1::mutex::lock", kLock, "tbb::mutex"},
    {"tbb::d1::rw_mutex::lock", kLock, "tbb::rw_mutex", kStart},
    {"tbb::r1::wait_on_address", kUnknown, "", kInner},

    // NSPR, APR, libuv
    {"PR_EnterMonitor", kLock, "NSPR monitor"},
    {"PR_RWLock_", kLock, "NSPR read-write lock", kStart},
    {"NSSRWLock_Lock", kLock, "NSS read-write lock", kStart},
    {"PR_CallOnce", kLock, "NSPR once flag", kStart | kCallsBack},
    {"PR_Wait", kEvent, "NSPR condition variable", kStart},
    {"PR_JoinThread", kEvent, ""},
    {"apr_thread_cond_", kEvent, "APR condition variable", kStart | kInner},
    {"apr_queue_", kEvent, "APR queue", kStart},
    {"apr_reslist_acquire", kEvent, "APR resource list"},
    {"uv_cond_wait", kEvent, "", kInner},

    // Allocators
    {"SpinLock::SlowLock", kLock, "tcmalloc SpinLock"},
    {"base::internal::SpinLockDelay", kUnknown, "tcmalloc SpinLock", kInner},

    // C++: what the standard libraries and Boost make of a mutex and a condition variable
    {"std::condition_variable::wait", kEvent, "", kStart | kInner},
    {"std::condition_variable_any::wait", kEvent, "", kStart | kInner},
    {"std::shared_timed_mutex::lock", kLock, "std::shared_timed_mutex", kStart},
    {"std::shared_mutex_base::lock", kLock, "std::shared_mutex", kStart},
    {"boost::condition_variable::wait", kEvent, "", kStart | kInner},
    {"boost::condition_variable_any::wait", kEvent, "", kStart | kInner},
    {"boost::shared_mutex::lock", kLock, "boost::shared_mutex", kStart},
    {"boost::upgrade_mutex::lock", kLock, "boost::upgrade_mutex", kStart},

    // D (core.sync), OCaml (otherlibs/systhreads, runtime/platform.c), Go's runtime
    {"core.sync.rwmutex.ReadWriteMutex.", kLock, "D read-write lock", kStart},
    {"core.internal.spinlock.SpinLock.lock", kLock, "D spin lock"},
    {"core.thread.osthread.Thread.sleep", kUnknown, "", kInner},
    {"core.thread.osthread.Thread.yield", kUnknown, "", kInner},
    {"st_masterlock_acquire", kLock, "OCaml's runtime lock"},
    {"runtime.lock", kLock, "Go runtime lock", kStart},
    {"runtime.futex", kUnknown, "", kStart | kInner},
    {"runtime.notesleep", kEvent, "Go runtime note"},
};

/// Python's threading module makes events of locks: whoever waits on a Condition, an Event, a queue
/// or the end of a thread is in one of these.
bool waits_for_event(const std::vector<PythonFrame>& python) {
  if (python.empty() || base_name(python.front().file) != "threading.py") return false;
  const std::string& function = python.front().function;
  return function.ends_with("wait") || function.ends_with("join") ||
         function.ends_with("_wait_for_tstate_lock") || function.ends_with("_shutdown");
}

/// Also in the wrappers that our own library puts between.
bool is_transparent(const Frame& frame) {
  return is_runtime(frame) || is_library(frame.module, "libforkscope");
}

/// Of all that makes a futex call in GLib only the slow path of g_mutex_lock() is no exported
/// function, and callers jump to it (glib/gthread-posix.c).
bool is_glib(const Frame& frame) { return base_name(frame.module).starts_with("libglib-2.0.so."); }

/// What the layouts of single words know by function (layout_functions.cpp): Rust's locks, atomic
/// waits, OpenMP's. libc's own are described by their bytes. As there the innermost counts.
void add_layout(KnownWait& known, const Frame& frame) {
  const layout::Known* low = layout::known(frame.function);
  if (low == nullptr || is_libc_module(frame.module) || known.purpose != kUnknown ||
      !known.type.empty()) {
    return;
  }
  known.purpose = is_owned(low->first) ? kLock : kEvent;
  known.type = low->type;
}

bool matches(const Entry& entry, std::string_view name) {
  return (entry.flags & kStart) != 0 ? name.starts_with(entry.function) : name == entry.function;
}

const Entry* entry_of(std::string_view name) {
  for (const Entry& entry : kEntries)
    if (matches(entry, name)) return &entry;
  return nullptr;
}

void cut_at(std::string& text, std::string_view mark) {
  if (const std::size_t at = text.find(mark); at != std::string::npos) text.resize(at);
}

void remove_all(std::string& text, std::string_view part) {
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos;)
    text.erase(at, part.size());
}

/// "absl::debian3::Mutex" and "absl::lts_20230802::Mutex" are absl::Mutex.
void leave_out_namespace_after(std::string& text, std::string_view outer,
                               std::initializer_list<std::string_view> starts) {
  const std::size_t at = text.find(outer);
  if (at == std::string::npos) return;
  const std::string_view rest = std::string_view(text).substr(at + outer.size());
  const std::size_t end = rest.find("::");
  const bool is_one = std::any_of(starts.begin(), starts.end(), [&](std::string_view start) {
    return rest.starts_with(start);
  });
  if (is_one && end != std::string_view::npos) text.erase(at + outer.size(), end + 2);
}

/// "<parking_lot::raw_mutex::RawMutex as lock_api::mutex::RawMutex>::lock": the type and the method.
std::string of_rust_trait(std::string_view function) {
  std::string name(function.substr(1, function.find(" as ") - 1));
  const std::size_t method = function.rfind(">::");
  if (method != std::string_view::npos) name += function.substr(method + 1);
  return name;
}

std::string without_templates(std::string_view text) {
  std::string result;
  int depth = 0;
  for (const char c : text) {
    if (c == '<') ++depth;
    if (depth == 0) result += c;
    if (c == '>' && depth > 0) --depth;
  }
  return result;
}

}  // namespace

std::string bare_function(std::string_view function) {
  std::string name = function.starts_with('<') && function.find(" as ") != std::string_view::npos
                         ? of_rust_trait(function)
                         : without_parameters(function);
  if (name.starts_with('<')) name.erase(std::remove(name.begin(), name.end(), '<'), name.end());
  name = without_templates(name);
  name.erase(std::remove(name.begin(), name.end(), '>'), name.end());
  name = name.substr(name.find_last_of(" *&") + 1);
  for (std::string_view suffix : {"@", ".cold", ".constprop", ".isra", ".part", ".lto_priv", ".llvm"})
    cut_at(name, suffix);
  for (std::string_view part : {"__cxx11::", "__1::", "_V2::"}) remove_all(name, part);
  leave_out_namespace_after(name, "absl::", {"debian", "lts_"});
  leave_out_namespace_after(name, "tbb::", {"detail::"});
  return name.substr(std::min(name.find_first_not_of('_'), name.size()));
}

KnownWait known_wait(const std::vector<Frame>& stack, const std::vector<PythonFrame>& python,
                     bool raw_futex) {
  constexpr std::size_t kDeepest = 40;  // inlined calls count as well
  KnownWait known{};
  const Frame* between = nullptr;  ///< without a name, and not of the C or C++ library
  for (std::size_t i = 0; i < stack.size() && i < kDeepest; ++i) {
    const Frame& frame = stack[i];
    const std::string name = bare_function(frame.function);
    const Entry* entry = name.empty() ? nullptr : entry_of(name);
    if (entry == nullptr) {
      const bool transparent = is_transparent(frame);
      if (!name.empty() && between == nullptr) add_layout(known, frame);
      if (transparent) continue;
      if (!name.empty()) break;
      if (between == nullptr && raw_futex && is_glib(frame)) known = {kLock, "GMutex"};
      between = &frame;
      continue;
    }
    const bool other = between != nullptr && between->module != frame.module;
    if ((entry->flags & kCallsBack) != 0 && other) break;
    if (entry->purpose != kUnknown) known.purpose = entry->purpose;
    if (!entry->type.empty()) known.type = entry->type;
    if ((entry->flags & kInner) == 0) break;
  }
  if (known.type == kPythonLock) {
    known.certain = !python.empty();
    if (waits_for_event(python)) known.purpose = kEvent;
  }
  return known;
}

bool may_be_built_on(record::LockType type) {
  return type == record::LockType::kSemaphore || type == record::LockType::kCondition ||
         type == record::LockType::kFutex;
}

record::Kind kind_of_known(record::Kind kind, const KnownWait& known) {
  using record::Kind;
  if (known.purpose == kUnknown || !known.certain) return kind;
  if (kind != Kind::kLostThread && kind != Kind::kOrphanedLock) return kind;
  return known.is_lock() ? Kind::kOrphanedLock : Kind::kLostThread;
}

}  // namespace forkscope
