# Tests of the scenarios, bare and under the preload library, and of their runner.
set(scenario_tests_dir ${CMAKE_CURRENT_LIST_DIR})
set(scenario_patience 1000)  # milliseconds; only methods that deadlock use it up

# What each method must do, written here a second time on purpose: a test must not take the word of
# the program it tests. 0: all workers done, 3: a worker hung.
foreach(expectation IN ITEMS
    parquet-lock:fork:3 parquet-lock:spawn:0 parquet-lock:forkserver:0
    parquet-lock:fork-without-read:0 parquet-lock:fork-after-idle:0
    worker-pool:fork:3 worker-pool:spawn:0 worker-pool:forkserver:0
    worker-pool:fork-without-pool-use:0 worker-pool:fork-own-pool:0)
  string(REPLACE ":" ";" parts ${expectation})
  list(GET parts 0 name)
  list(GET parts 1 method)
  list(GET parts 2 status)
  add_test(NAME scenario.${name}.${method}.ends_with_${status}
    COMMAND ${scenario_tests_dir}/scenario_end_test.sh $<TARGET_FILE:scenario_${name}>
      ${method} ${status} ${scenario_patience})
endforeach()

foreach(name IN ITEMS parquet-lock worker-pool)
  add_test(NAME scenario.${name}.killed_worker_is_reported
    COMMAND ${scenario_tests_dir}/scenario_killed_worker_test.sh $<TARGET_FILE:scenario_${name}>)
  add_test(NAME scenario.${name}.usage_errors_are_refused
    COMMAND ${scenario_tests_dir}/scenario_usage_test.sh $<TARGET_FILE:scenario_${name}>)
endforeach()

add_executable(scenario_runner_test
  ${scenario_tests_dir}/scenario_runner_test.cpp
  ${scenario_tests_dir}/scenario_outcome_test.cpp)
target_compile_definitions(scenario_runner_test PRIVATE
  FORKSCOPE_SCENARIOS="${CMAKE_BINARY_DIR}/${FORKSCOPE_SCENARIO_DIR}")
target_link_libraries(scenario_runner_test PRIVATE catch_main forkscope_scenario_runner)
add_dependencies(scenario_runner_test scenario_parquet-lock scenario_worker-pool)
catch_discover_tests(scenario_runner_test TEST_PREFIX "scenario runner: ")

# End and findings of every method, bare and under `forkscope run`.
if(TARGET forkscope)
  add_test(NAME scenario.all_agree_with_their_descriptions
    COMMAND forkscope scenario run --all --repeat 5 --patience ${scenario_patience})
  set_tests_properties(scenario.all_agree_with_their_descriptions PROPERTIES TIMEOUT 300)
endif()
