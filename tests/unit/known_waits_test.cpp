// What libraries have built on the words that threads wait on, told by who waits.
#include "detector/verdict/known_waits.hpp"

#include <catch2/catch.hpp>

using namespace forkscope;

namespace {

using Stack = std::vector<Frame>;

/// "function@module"; without a function the frame has no name.
Stack stack(std::initializer_list<const char*> frames) {
  Stack result;
  for (const std::string text : frames) {
    const std::size_t at = text.rfind('@');
    Frame frame;
    frame.function = text.substr(0, at);
    frame.module = "/usr/lib/" + text.substr(at + 1);
    result.push_back(frame);
  }
  return result;
}

KnownWait known(std::initializer_list<const char*> frames,
                const std::vector<PythonFrame>& python = {}) {
  const Stack frame = stack(frames);
  return known_wait(frame, python, frame.front().function == "syscall");
}

}  // namespace

TEST_CASE("names are compared without what is not of the function's own", "[known]") {
  CHECK(bare_function("absl::debian3::Mutex::Lock()") == "absl::Mutex::Lock");
  CHECK(bare_function("absl::lts_20230802::CondVar::Wait(absl::lts_20230802::Mutex*)") ==
        "absl::CondVar::Wait");
  CHECK(bare_function("AbslInternalPerThreadSemWait_debian3") ==
        "AbslInternalPerThreadSemWait_debian3");
  CHECK(bare_function("void folly::SharedMutexImpl<false, void, std::atomic>::lock_shared<int>()") ==
        "folly::SharedMutexImpl::lock_shared");
  CHECK(bare_function("tbb::detail::d1::rw_mutex::lock_shared()") == "tbb::d1::rw_mutex::lock_shared");
  CHECK(bare_function("std::__1::condition_variable::wait(std::__1::unique_lock<std::mutex>&)") ==
        "std::condition_variable::wait");
  CHECK(bare_function("<parking_lot::raw_mutex::RawMutex as lock_api::mutex::RawMutex>::lock") ==
        "parking_lot::raw_mutex::RawMutex::lock");
  CHECK(bare_function("<parking_lot::raw_rwlock::RawRwLock>::lock_shared_slow") ==
        "parking_lot::raw_rwlock::RawRwLock::lock_shared_slow");
  CHECK(bare_function("__pthread_mutex_lock@@GLIBC_2.34") == "pthread_mutex_lock");
  CHECK(bare_function("g_mutex_lock_slowpath.part.0") == "g_mutex_lock_slowpath");
  CHECK(bare_function("").empty());
  CHECK(bare_function("<").empty());
  CHECK(bare_function("< as ").empty());
}

TEST_CASE("a lock function makes a lock of a raw word", "[known]") {
  CHECK(known({"syscall@libc.so.6", "g_mutex_lock@libglib-2.0.so.0", "main@app"}).purpose ==
        Purpose::kLock);
  CHECK(known({"syscall@libc.so.6", "g_bit_lock@libglib-2.0.so.0", "f@app"}).type ==
        "GLib bit lock");
  const KnownWait qt = known({"syscall@libc.so.6", "QBasicMutex::lockInternal()@libQt5Core.so.5",
                              "@libQt5Core.so.5", "f()@app"});
  CHECK(qt.purpose == Purpose::kLock);
  CHECK(qt.type == "QMutex");
}

TEST_CASE("what calls a condition variable's wait may be a lock", "[known]") {
  const KnownWait lock =
      known({"pthread_cond_wait@libc.so.6", "QWaitCondition::wait(QMutex*, QDeadlineTimer)@libQt5Core.so",
             "@libQt5Core.so", "QReadWriteLock::tryLockForRead(int)@libQt5Core.so", "f()@app"});
  CHECK(lock.purpose == Purpose::kLock);
  CHECK(lock.type == "QReadWriteLock");
  const KnownWait event = known({"pthread_cond_wait@libc.so.6",
                                 "QWaitCondition::wait(QMutex*, QDeadlineTimer)@libQt5Core.so",
                                 "Queue::pop()@app", "QReadWriteLock::lockForRead()@libQt5Core.so"});
  CHECK(event.purpose == Purpose::kEvent);  // the program's own function lies between
  CHECK(known({"syscall@libc.so.6", "g_cond_wait@libglib-2.0.so.0", "g_once_impl@libglib-2.0.so.0",
               "f@app"})
            .type == "GOnce");
  CHECK(known({"pthread_cond_wait@libc.so.6", "g_cond_wait@libglib-2.0.so.0", "take_job@app"}).type ==
        "GCond");
}

TEST_CASE("what a function of a once flag waits for is its own affair", "[known]") {
  // The program is stripped: its callback has no name.
  const KnownWait waits = known({"syscall@libc.so.6", "g_cond_wait@libglib-2.0.so.0", "@app",
                                 "g_once_impl@libglib-2.0.so.0", "main@app"});
  CHECK(waits.purpose == Purpose::kEvent);
  CHECK(waits.type == "GCond");
}

TEST_CASE("the public function of Abseil tells a lock from a condition under it", "[known]") {
  const char* kLow = "AbslInternalPerThreadSemWait_debian3@libabsl.so";
  const char* kBlock = "absl::debian3::Mutex::Block(absl::debian3::base_internal::X*)@libabsl.so";
  const char* kSlow = "absl::debian3::Mutex::LockSlow(absl::debian3::MuHowS const*)@libabsl.so";
  CHECK(known({"syscall@libc.so.6", kLow, kBlock, kSlow, "absl::debian3::Mutex::Lock()@libabsl.so",
               "f()@app"})
            .purpose == Purpose::kLock);
  CHECK(known({"syscall@libc.so.6", kLow, kBlock, kSlow,
               "absl::debian3::Mutex::ReaderLock()@libabsl.so", "f()@app"})
            .purpose == Purpose::kLock);
  for (const char* event :
       {"absl::debian3::Mutex::LockWhen(absl::debian3::Condition const&)@libabsl.so",
        "absl::debian3::Mutex::Await(absl::debian3::Condition const&)@libabsl.so", "f()@app"}) {
    INFO(event);
    CHECK_FALSE(known({"syscall@libc.so.6", kLow, kBlock, kSlow, event, "f()@app"}).is_lock());
  }
  const KnownWait notification =
      known({"syscall@libc.so.6", kLow, kBlock, kSlow,
             "absl::debian3::Mutex::LockWhen(absl::debian3::Condition const&)@libabsl.so",
             "absl::debian3::Notification::WaitForNotification() const@libabsl.so", "f()@app"});
  CHECK(notification.purpose == Purpose::kEvent);
  CHECK(notification.type == "Abseil Notification");
}

TEST_CASE("only the slow path of GLib's mutex has no name", "[known]") {
  CHECK(known({"syscall@libc.so.6", "@libglib-2.0.so.0.7400.6", "f@app"}).type == "GMutex");
  CHECK(known({"pthread_join@libc.so.6", "@libglib-2.0.so.0.7400.6", "f@app"}).purpose ==
        Purpose::kUnknown);
  CHECK(known({"syscall@libc.so.6", "@app", "f@app"}).purpose == Purpose::kUnknown);
}

TEST_CASE("Python's lock is a lock unless its threading module waits with it", "[known]") {
  const auto python = [](const char* function, const char* file) {
    return known({"sem_wait@libc.so.6", "PyThread_acquire_lock_timed@python3.11", "@python3.11",
                  "_PyEval_EvalFrameDefault@python3.11"},
                 {{function, file, 1}});
  };
  CHECK(python("lookup", "/srv/cache.py").purpose == Purpose::kTaken);
  CHECK(python("acquire", "/usr/lib/python3.11/logging/__init__.py").purpose == Purpose::kTaken);
  CHECK(python("acquire", "<frozen importlib._bootstrap>").purpose == Purpose::kTaken);
  for (const char* function : {"wait", "Condition.wait", "_wait_for_tstate_lock", "join"}) {
    INFO(function);
    CHECK(python(function, "/usr/lib/python3.11/threading.py").purpose == Purpose::kEvent);
  }
  CHECK(python("wait", "/srv/cache.py").purpose == Purpose::kTaken);
  CHECK(known({"sem_wait@libc.so.6", "PyThread_acquire_lock_timed@python3.11", "@python3.11",
               "_queue_SimpleQueue_get@python3.11"},
              {{"_worker", "thread.py", 81}})
            .purpose == Purpose::kEvent);
}

TEST_CASE("without Python's frames a guess that rests on evidence stays", "[known]") {
  const KnownWait blind = known({"sem_wait@libc.so.6", "PyThread_acquire_lock_timed@python3.11"});
  CHECK(blind.type == "Python lock");
  using record::Kind;
  CHECK(kind_of_known(Kind::kLostThread, blind) == Kind::kLostThread);
  CHECK(kind_of_known(Kind::kOrphanedLock, blind) == Kind::kOrphanedLock);
  const KnownWait lock{Purpose::kLock, "GMutex"}, event{Purpose::kEvent, "GCond"};
  CHECK(kind_of_known(Kind::kLostThread, lock) == Kind::kOrphanedLock);
  CHECK(kind_of_known(Kind::kOrphanedLock, event) == Kind::kLostThread);
  CHECK(kind_of_known(Kind::kSelfHeldLock, event) == Kind::kSelfHeldLock);
  CHECK(kind_of_known(Kind::kLostThread, {}) == Kind::kLostThread);
}

TEST_CASE("the planner's lock of FFTW and the jobs of its workers are both semaphores", "[known]") {
  CHECK(known({"__new_sem_wait_slow64@libc.so.6", "@libfftw3_threads.so.3",
               "fftw_mkapiplan@libfftw3.so.3", "fftw_plan_dft@libfftw3.so.3"})
            .is_lock());
  CHECK(known({"__new_sem_wait_slow64@libc.so.6", "fftw_spawn_loop@libfftw3_threads.so.3",
               "@libfftw3.so.3", "fftw_mkapiplan@libfftw3.so.3"})
            .purpose == Purpose::kEvent);
}

TEST_CASE("a program's own functions are nobody's locks", "[known]") {
  CHECK(known({"syscall@libc.so.6", "wait_for_work@app", "g_mutex_lock@libglib-2.0.so.0"}).purpose ==
        Purpose::kUnknown);
  CHECK(known({"sem_wait@libc.so.6", "main@app"}).purpose == Purpose::kUnknown);
  CHECK(known_wait({}, {}, false).purpose == Purpose::kUnknown);
}
