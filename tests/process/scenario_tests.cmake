# Tests of the scenarios, bare and under the preload library, and of their runner.
set(scenario_tests_dir ${CMAKE_CURRENT_LIST_DIR})
set(scenario_patience 1000)  # milliseconds; only methods that deadlock use it up

# What each method must do, written here a second time on purpose: a test must not take the word of
# the program it tests. 0: all workers done; hangs: the first worker hung; else: it died of that.
set(scenario_ends
  allocator-lock:naive:hangs allocator-lock:naive-lucky:0 allocator-lock:naive-atfork:0
  allocator-lock:jemalloc:0 allocator-lock:tcmalloc:0
  atfork-inversion:inverted:hangs atfork-inversion:inverted-in-time:0 atfork-inversion:ordered:0
  atfork-inversion:registered-twice:hangs
  atfork-late:late:hangs atfork-late:early:0
  barrier:fork:hangs barrier:fork-own-barrier:0
  c11-threads:fork:hangs c11-threads:spawn:0 c11-threads:fork-cnd:hangs c11-threads:fork-lucky:0
  call-once:fork:0 call-once:underscore-fork:hangs call-once:fork-over:0
  dontfork-memory:fork:signal_11 dontfork-memory:spawn:0 dontfork-memory:fork-dofork:0
  exit-teardown:fork-exit:hangs exit-teardown:fork-underscore-exit:0 exit-teardown:fork-forget:0
  exit-teardown:spawn:0
  file-lock:fork-unlock:0 file-lock:fork-record:0 file-lock:fork-wait-flock:hangs
  file-lock:fork-wait-record:hangs file-lock:fork-own-open:0
  fork-bypass:underscore-fork:0 fork-bypass:raw-clone:0 fork-bypass:handlers-skipped:hangs
  fork-bypass:handlers-run:0 fork-bypass:fork:0 fork-bypass:underscore-fork-exec:0
  fork-bypass:single-threaded:0
  fork-in-signal:fork:hangs fork-in-signal:fork-outside:0 fork-in-signal:fork-exec:0
  fork-in-signal:fork-blocked:0
  futex-lock:fork:hangs futex-lock:spawn:0 futex-lock:fork-unlocked:0
  inherited-waiters:fork-broadcast:hangs inherited-waiters:fork-destroy:hangs
  inherited-waiters:fork-own-condition:0
  libc-locks:localtime:hangs libc-locks:setenv:hangs libc-locks:getaddrinfo:hangs
  libc-locks:atexit:hangs libc-locks:localtime-over:0 libc-locks:setenv-over:0
  libc-locks:getaddrinfo-over:0 libc-locks:atexit-over:0 libc-locks:localtime-spawn:0
  libc-locks:localtime-time:0
  loader:fork:exit_127 loader:spawn:0 loader:fork-half-made:0 loader:fork-in-constructor:0
  loader:fork-after:0
  loader-list:fork:hangs loader-list:fork-over:0 loader-list:fork-find-object:0
  loader-list:fork-throw:0 loader-list:spawn:0
  logger-lock:fork:hangs logger-lock:fork-lucky:0 logger-lock:spawn:0 logger-lock:fork-exec:0
  logger-lock:fork-first:0 logger-lock:fork-atfork:0
  lost-future:fork:hangs lost-future:fork-ready:0 lost-future:fork-own-future:0 lost-future:spawn:0
  lost-join:fork:0 lost-join:fork-own-thread:0
  mutex-types:recursive:hangs mutex-types:errorcheck:hangs mutex-types:robust:hangs
  mutex-types:pi:signal_6 mutex-types:pi-holder-ended:hangs mutex-types:normal-relock:hangs
  mutex-types:lucky-normal:0 mutex-types:lucky-recursive:0 mutex-types:lucky-errorcheck:0
  mutex-types:lucky-robust:0 mutex-types:lucky-pi:0 mutex-types:normal-unlock:0
  mutex-types:pshared:0
  nested-fork:fork:hangs nested-fork:fork-lucky:0 nested-fork:fork-unused:0 nested-fork:spawn:0
  openmp-region:fork:hangs openmp-region:fork-before:0 openmp-region:fork-one-thread:0
  openmp-region:spawn:0
  parquet-lock:fork:hangs parquet-lock:spawn:0 parquet-lock:forkserver:0
  parquet-lock:fork-without-read:0 parquet-lock:fork-lucky:0 parquet-lock:fork-after-idle:0
  parquet-write:fork:hangs parquet-write:fork-lucky:0 parquet-write:spawn:0
  parquet-write:forkserver:0
  pipe-never-ends:fork:hangs pipe-never-ends:fork-closed:0 pipe-never-ends:fork-exec:0
  rwlock:fork:hangs rwlock:spawn:0 rwlock:fork-writer-held:hangs rwlock:fork-child-reads:0
  rwlock:fork-lucky:0 rwlock:fork-both-read:0 rwlock:fork-atfork:0 rwlock:fork-atfork-unlock:hangs
  semaphore-lock:fork:hangs semaphore-lock:spawn:0 semaphore-lock:fork-lucky:0
  semaphore-lock:fork-posted:0 semaphore-lock:fork-signal-posts:0
  shared-connection:fork:0 shared-connection:fork-own-connection:0
  spinlock:fork:hangs spinlock:spawn:0 spinlock:fork-lucky:0 spinlock:fork-released:0
  static-local:fork:hangs static-local:fork-lucky:0 static-local:fork-initialised:0
  stdio-lock:fork:0 stdio-lock:underscore-fork:hangs
  undrained-queue:fork:hangs undrained-queue:spawn:0 undrained-queue:fork-own-consumer:0
  unsafe-call:fork:0 unsafe-call:fork-prepared:0 unsafe-call:spawn:0 unsafe-call:single-threaded:0
  vfork-misuse:vfork-lock:0 vfork-misuse:vfork-exec:0
  worker-pool:fork:hangs worker-pool:spawn:0 worker-pool:forkserver:0
  worker-pool:fork-without-pool-use:0 worker-pool:fork-own-pool:0)
set(scenario_programs "")
foreach(expectation IN LISTS scenario_ends)
  string(REPLACE ":" ";" parts ${expectation})
  list(GET parts 0 name)
  list(GET parts 1 method)
  list(GET parts 2 end)
  list(APPEND scenario_programs scenario_${name})
  set(what ends_with_${end})
  if(end STREQUAL "hangs")
    set(what hangs)
  endif()
  add_test(NAME scenario.${name}.${method}.${what}
    COMMAND ${scenario_tests_dir}/scenario_end_test.sh $<TARGET_FILE:scenario_${name}>
      ${method} ${end} ${scenario_patience})
  set_tests_properties(scenario.${name}.${method}.${what} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
list(REMOVE_DUPLICATES scenario_programs)

# What the scenarios share is tested through two that use all of it.
foreach(name IN ITEMS parquet-lock worker-pool)
  add_test(NAME scenario.${name}.killed_worker_is_reported
    COMMAND ${scenario_tests_dir}/scenario_killed_worker_test.sh $<TARGET_FILE:scenario_${name}>)
  add_test(NAME scenario.${name}.usage_errors_are_refused
    COMMAND ${scenario_tests_dir}/scenario_usage_test.sh $<TARGET_FILE:scenario_${name}>)
endforeach()

add_executable(scenario_runner_test
  ${scenario_tests_dir}/scenario_runner_test.cpp
  ${scenario_tests_dir}/scenario_outcome_test.cpp
  ${scenario_tests_dir}/scenario_promises_test.cpp
  ${scenario_tests_dir}/scenario_reports_test.cpp)
target_compile_definitions(scenario_runner_test PRIVATE
  FORKSCOPE_TEMPLATE_CHECK="${CMAKE_CURRENT_BINARY_DIR}/template_check.cpp"
  FORKSCOPE_SCENARIOS="${CMAKE_BINARY_DIR}/${FORKSCOPE_SCENARIO_DIR}")
target_link_libraries(scenario_runner_test PRIVATE catch_main forkscope_scenario_runner)
add_dependencies(scenario_runner_test ${scenario_programs})
catch_discover_tests(scenario_runner_test TEST_PREFIX "scenario runner: ")

# The template of `scenario new` is a scenario that does what it says.
set(NAME template-check)
set(SOURCE template_check.cpp)
configure_file(${CMAKE_SOURCE_DIR}/scenarios/runner/template/scenario.cpp.in template_check.cpp @ONLY)
add_executable(scenario_template-check ${CMAKE_CURRENT_BINARY_DIR}/template_check.cpp)
target_link_libraries(scenario_template-check PRIVATE forkscope_scenario_support)
foreach(expectation IN ITEMS fork:hangs fork-lucky:0 spawn:0)
  string(REPLACE ":" ";" parts ${expectation})
  list(GET parts 0 method)
  list(GET parts 1 end)
  add_test(NAME scenario.template.${method}
    COMMAND ${scenario_tests_dir}/scenario_end_test.sh $<TARGET_FILE:scenario_template-check>
      ${method} ${end} ${scenario_patience})
endforeach()

# Findings of every method under `forkscope run`, and what is seen from outside of those that hang;
# their ends without forkscope are tested above. What hangs takes no processor.
if(TARGET forkscope)
  add_test(NAME scenario.all_agree_with_their_descriptions
    COMMAND forkscope scenario run --all --how shim,lucky,attached --jobs 12
      --patience 8000)  # time for the watchdog, on a busy machine, too
  add_test(NAME scenario.docs_have_the_catalogue
    COMMAND ${scenario_tests_dir}/scenario_docs_test.sh $<TARGET_FILE:forkscope>
      ${CMAKE_SOURCE_DIR}/docs/scenarios.md)
  set_tests_properties(scenario.all_agree_with_their_descriptions PROPERTIES TIMEOUT 300)
  # One lucky run is enough: each of 20.
  add_test(NAME scenario.latent_in_20_of_20_runs
    COMMAND forkscope scenario run --how shim,lucky --repeat 20 --jobs 2 --method fork-lucky
      --method lucky-normal --method lucky-recursive --method lucky-errorcheck
      --method lucky-robust --method lucky-pi --method naive-lucky)
  set_tests_properties(scenario.latent_in_20_of_20_runs PROPERTIES TIMEOUT 300)
endif()
