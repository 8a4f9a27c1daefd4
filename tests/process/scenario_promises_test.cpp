// What the scenarios of this build promise, written here a second time on purpose: a promise that
// is taken back must be taken back in two places.
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

#include "scenarios/runner/catalogue.hpp"
#include "scenarios/runner/outcome.hpp"

using namespace forkscope::scenario;

namespace {

/// "deadlock: orphaned-lock", "completes, silent".
std::string promise_of(const Method& method) {
  if (method.silent) return end_text(method) + ", silent";
  return end_text(method) + ": " + findings_text({method.findings.begin(), method.findings.end()});
}

/// A description with one method, given as JSON.
std::string description_with(const std::string& method) {
  return R"({"schema":"forkscope.scenario/1","name":"n","title":"t","cause":"c","mechanism":"m",)"
         R"("cure":"c","source":"s","methods":[)" +
         method + "]}";
}

}  // namespace

TEST_CASE("the scenarios of the build promise what the issues ask for") {
  std::map<std::string, std::string> promises;
  for (const Entry& entry : load_catalogue(FORKSCOPE_SCENARIOS)) {
    INFO(entry.description.name);
    CHECK(std::filesystem::exists(entry.source));
    for (const Method& method : entry.description.methods)
      promises[entry.description.name + " " + method.name] = promise_of(method);
  }
  const std::map<std::string, std::string> expected = {
      {"allocator-lock naive", "deadlock: orphaned-lock"},
      {"allocator-lock naive-lucky", "completes: latent orphaned-lock"},
      {"allocator-lock naive-atfork", "completes, silent"},
      {"allocator-lock jemalloc", "completes, silent"},
      {"allocator-lock tcmalloc", "completes, silent"},
      {"atfork-inversion inverted", "deadlock: atfork-handler"},
      {"atfork-inversion inverted-in-time", "completes: latent atfork-handler"},
      {"atfork-inversion ordered", "completes, silent"},
      {"atfork-inversion registered-twice", "deadlock: atfork-handler"},
      {"atfork-late late", "deadlock: note atfork-handler, orphaned-lock"},
      {"atfork-late early", "completes, silent"},
      {"barrier fork", "deadlock: lost-thread"},
      {"barrier fork-own-barrier", "completes, silent"},
      {"c11-threads fork", "deadlock: orphaned-lock"},
      {"c11-threads spawn", "completes, silent"},
      {"c11-threads fork-cnd", "deadlock: lost-thread, latent orphaned-lock"},
      {"c11-threads fork-lucky", "completes: latent orphaned-lock"},
      {"call-once fork", "completes, silent"},
      {"call-once underscore-fork", "deadlock: orphaned-lock"},
      {"call-once fork-over", "completes, silent"},
      {"dontfork-memory fork", "dies SIGSEGV: missing-memory"},
      {"dontfork-memory spawn", "completes, silent"},
      {"dontfork-memory fork-dofork", "completes, silent"},
      {"exit-teardown fork-exit", "deadlock: lost-thread, latent orphaned-lock"},
      {"exit-teardown fork-underscore-exit", "completes, silent"},
      {"exit-teardown fork-forget", "completes, silent"},
      {"exit-teardown spawn", "completes, silent"},
      {"file-lock fork-unlock", "completes: hazard shared-descriptor"},
      {"file-lock fork-record", "completes: hazard shared-descriptor"},
      {"file-lock fork-wait-flock", "deadlock: none"},
      {"file-lock fork-wait-record", "deadlock: hazard shared-descriptor"},
      {"file-lock fork-own-open", "completes, silent"},
      {"fork-bypass underscore-fork", "completes: note fork-bypass"},
      {"fork-bypass raw-clone", "completes: note fork-bypass"},
      {"fork-bypass handlers-skipped", "deadlock: note fork-bypass, orphaned-lock"},
      {"fork-bypass handlers-run", "completes, silent"},
      {"fork-bypass fork", "completes, silent"},
      {"fork-bypass underscore-fork-exec", "completes, silent"},
      {"fork-bypass single-threaded", "completes, silent"},
      {"fork-in-signal fork", "deadlock: self-held-lock"},
      {"fork-in-signal fork-outside", "completes, silent"},
      {"fork-in-signal fork-exec", "completes, silent"},
      {"fork-in-signal fork-blocked", "completes, silent"},
      {"futex-lock fork", "deadlock: lost-thread"},
      {"futex-lock spawn", "completes, silent"},
      {"futex-lock fork-unlocked", "completes, silent"},
      {"inherited-waiters fork-broadcast", "deadlock: lost-thread"},
      {"inherited-waiters fork-destroy", "deadlock: lost-thread"},
      {"inherited-waiters fork-own-condition", "completes, silent"},
      {"libc-locks localtime", "deadlock: libc-lock"},
      {"libc-locks setenv", "deadlock: libc-lock"},
      {"libc-locks getaddrinfo", "deadlock: libc-lock"},
      {"libc-locks atexit", "deadlock: libc-lock"},
      {"libc-locks localtime-over", "completes, silent"},
      {"libc-locks setenv-over", "completes, silent"},
      {"libc-locks getaddrinfo-over", "completes, silent"},
      {"libc-locks atexit-over", "completes, silent"},
      {"libc-locks localtime-spawn", "completes, silent"},
      {"libc-locks localtime-time", "completes, silent"},
      {"loader fork", "dies exit 127: libc-lock"},
      {"loader spawn", "completes, silent"},
      {"loader fork-half-made", "completes: none"},
      {"loader fork-in-constructor", "completes, silent"},
      {"loader fork-after", "completes, silent"},
      {"loader-list fork", "deadlock: libc-lock"},
      {"loader-list fork-over", "completes, silent"},
      {"loader-list fork-find-object", "completes, silent"},
      {"loader-list fork-throw", "completes, silent"},
      {"loader-list spawn", "completes, silent"},
      {"logger-lock fork", "deadlock: orphaned-lock"},
      {"logger-lock fork-lucky", "completes: latent orphaned-lock"},
      {"logger-lock spawn", "completes, silent"},
      {"logger-lock fork-exec", "completes, silent"},
      {"logger-lock fork-first", "completes, silent"},
      {"logger-lock fork-atfork", "completes, silent"},
      {"lost-future fork", "deadlock: lost-thread"},
      {"lost-future fork-ready", "completes, silent"},
      {"lost-future fork-own-future", "completes, silent"},
      {"lost-future spawn", "completes, silent"},
      {"lost-join fork", "completes: hazard lost-thread"},
      {"lost-join fork-own-thread", "completes, silent"},
      {"mutex-types recursive", "deadlock: stale-owner"},
      {"mutex-types errorcheck", "deadlock: stale-owner"},
      {"mutex-types robust", "deadlock: stale-owner"},
      {"mutex-types pi", "dies SIGABRT: orphaned-lock"},
      {"mutex-types pi-holder-ended", "deadlock: orphaned-lock"},
      {"mutex-types normal-relock", "deadlock: self-held-lock"},
      {"mutex-types lucky-normal", "completes: latent orphaned-lock"},
      {"mutex-types lucky-recursive", "completes: latent orphaned-lock"},
      {"mutex-types lucky-errorcheck", "completes: latent orphaned-lock"},
      {"mutex-types lucky-robust", "completes: latent orphaned-lock"},
      {"mutex-types lucky-pi", "completes: latent orphaned-lock"},
      {"mutex-types normal-unlock", "completes, silent"},
      {"mutex-types pshared", "completes, silent"},
      {"nested-fork fork", "deadlock: orphaned-lock"},
      {"nested-fork fork-lucky", "completes: latent orphaned-lock"},
      {"nested-fork fork-unused", "completes: none"},
      {"nested-fork spawn", "completes, silent"},
      {"openmp-region fork", "deadlock: lost-thread"},
      {"openmp-region fork-before", "completes, silent"},
      {"openmp-region fork-one-thread", "completes, silent"},
      {"openmp-region spawn", "completes, silent"},
      {"parquet-lock fork", "deadlock: orphaned-lock"},
      {"parquet-lock spawn", "completes, silent"},
      {"parquet-lock forkserver", "completes, silent"},
      {"parquet-lock fork-without-read", "completes: none"},
      {"parquet-lock fork-lucky", "completes: latent orphaned-lock"},
      {"parquet-lock fork-after-idle", "completes, silent"},
      {"parquet-write fork", "deadlock: orphaned-lock"},
      {"parquet-write fork-lucky", "completes: latent orphaned-lock"},
      {"parquet-write spawn", "completes, silent"},
      {"parquet-write forkserver", "completes, silent"},
      {"pipe-never-ends fork", "deadlock: note shared-descriptor"},
      {"pipe-never-ends fork-closed", "completes, silent"},
      {"pipe-never-ends fork-exec", "completes, silent"},
      {"rwlock fork", "deadlock: orphaned-lock"},
      {"rwlock spawn", "completes, silent"},
      {"rwlock fork-writer-held", "deadlock: orphaned-lock"},
      {"rwlock fork-child-reads", "completes: none"},
      {"rwlock fork-lucky", "completes: latent orphaned-lock"},
      {"rwlock fork-both-read", "completes, silent"},
      {"rwlock fork-atfork", "completes, silent"},
      {"rwlock fork-atfork-unlock", "deadlock: stale-owner"},
      {"semaphore-lock fork", "deadlock: orphaned-lock"},
      {"semaphore-lock spawn", "completes, silent"},
      {"semaphore-lock fork-lucky", "completes: latent orphaned-lock"},
      {"semaphore-lock fork-posted", "completes, silent"},
      {"semaphore-lock fork-signal-posts", "completes, silent"},
      {"shared-connection fork", "completes: hazard shared-descriptor"},
      {"shared-connection fork-own-connection", "completes, silent"},
      {"spinlock fork", "deadlock: orphaned-lock"},
      {"spinlock spawn", "completes, silent"},
      {"spinlock fork-lucky", "completes: latent orphaned-lock"},
      {"spinlock fork-released", "completes, silent"},
      {"static-local fork", "deadlock: orphaned-lock"},
      {"static-local fork-lucky", "completes: latent orphaned-lock"},
      {"static-local fork-initialised", "completes, silent"},
      {"stdio-lock fork", "completes, silent"},
      {"stdio-lock underscore-fork", "deadlock: orphaned-lock"},
      {"undrained-queue fork", "deadlock: lost-thread, latent orphaned-lock"},
      {"undrained-queue spawn", "completes, silent"},
      {"undrained-queue fork-own-consumer", "completes, silent"},
      {"unsafe-call fork", "completes: note unsafe-call"},
      {"unsafe-call fork-prepared", "completes, silent"},
      {"unsafe-call spawn", "completes, silent"},
      {"unsafe-call single-threaded", "completes, silent"},
      {"vfork-misuse vfork-lock", "completes: note unsafe-call"},
      {"vfork-misuse vfork-exec", "completes, silent"},
      {"worker-pool fork", "deadlock: lost-thread, latent orphaned-lock"},
      {"worker-pool spawn", "completes, silent"},
      {"worker-pool forkserver", "completes, silent"},
      {"worker-pool fork-without-pool-use", "completes, silent"},
      {"worker-pool fork-own-pool", "completes, silent"},
  };
  CHECK(promises == expected);
}

TEST_CASE("every scenario has a control about which nothing may be said") {
  for (const Entry& entry : load_catalogue(FORKSCOPE_SCENARIOS)) {
    INFO(entry.description.name);
    bool silent = false;
    for (const Method& method : entry.description.methods) silent = silent || method.silent;
    CHECK(silent);
  }
}

TEST_CASE("a description survives being printed and read") {
  for (const Entry& entry : load_catalogue(FORKSCOPE_SCENARIOS)) {
    const std::string first = to_json(entry.description);
    CHECK(to_json(parse_description(first)) == first);
  }
}

TEST_CASE("a description from before silent methods is read") {
  const Description old = parse_description(
      description_with(R"({"name":"fork","end":"completes","findings":[],"note":""})"));
  CHECK_FALSE(old.methods.front().silent);
}

TEST_CASE("descriptions that contradict themselves are refused") {
  CHECK_THROWS_AS(parse_description("{}"), std::runtime_error);
  const auto refused = [](const std::string& method) {
    CHECK_THROWS_AS(parse_description(description_with(method)), std::runtime_error);
  };
  refused(R"({"name":"fork","end":"sleeps","findings":[],"note":""})");
  refused(R"({"name":"fork","end":"dies","findings":[],"note":""})");
  refused(R"({"name":"fork","end":"completes","silent":true,"note":"",)"
          R"("findings":[{"kind":"lost-thread","severity":"deadlock"}]})");
}
