# Faults injected into real processes: inject_test.cpp.
set(inject_dir ${CMAKE_CURRENT_LIST_DIR})
shim_program(inject_probe ${inject_dir}/inject_probe.cpp)
target_compile_options(inject_probe PRIVATE -g -O1)
target_link_libraries(inject_probe PRIVATE forkscope_warnings)

add_executable(inject_tests ${inject_dir}/inject_test.cpp)
target_compile_definitions(inject_tests PRIVATE
  FORKSCOPE_PRELOAD="$<TARGET_FILE:forkscope_preload>"
  INJECT_PROBE="$<TARGET_FILE:inject_probe>"
  FORKSCOPE_SCENARIOS="${CMAKE_BINARY_DIR}/${FORKSCOPE_SCENARIO_DIR}")
target_link_libraries(inject_tests PRIVATE cli_run)
add_dependencies(inject_tests forkscope forkscope_preload inject_probe cli_probe
  scenario_parquet-lock)
catch_discover_tests(inject_tests TEST_PREFIX "inject: ")
