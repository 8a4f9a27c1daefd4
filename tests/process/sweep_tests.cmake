# `forkscope sweep`: sweep_test.cpp.
set(sweep_dir ${CMAKE_CURRENT_LIST_DIR})
add_executable(sweep_probe ${sweep_dir}/sweep_probe.cpp)
target_compile_options(sweep_probe PRIVATE -g -O1 -fno-sanitize=all)
target_link_options(sweep_probe PRIVATE -fno-sanitize=all)
target_link_libraries(sweep_probe PRIVATE forkscope_warnings Threads::Threads)

# The same without a symbol, as distributions ship libraries.
add_executable(sweep_probe_stripped ${sweep_dir}/sweep_probe.cpp)
target_compile_options(sweep_probe_stripped PRIVATE -O1 -fno-sanitize=all)
target_link_options(sweep_probe_stripped PRIVATE -s -fno-sanitize=all)
target_link_libraries(sweep_probe_stripped PRIVATE forkscope_warnings Threads::Threads)

add_executable(sweep_tests ${sweep_dir}/sweep_test.cpp)
target_compile_definitions(sweep_tests PRIVATE
  FORKSCOPE_SCENARIOS="${CMAKE_BINARY_DIR}/${FORKSCOPE_SCENARIO_DIR}"
  SWEEP_PROBE="$<TARGET_FILE:sweep_probe>"
  SWEEP_PROBE_STRIPPED="$<TARGET_FILE:sweep_probe_stripped>"
  SWEEP_PYTHON="${sweep_dir}/sweep_python.py")
target_link_libraries(sweep_tests PRIVATE cli_run)
add_dependencies(sweep_tests forkscope forkscope_preload sweep_probe sweep_probe_stripped)
foreach(name IN LISTS FORKSCOPE_SCENARIOS_ALL)
  add_dependencies(sweep_tests scenario_${name})
endforeach()
catch_discover_tests(sweep_tests TEST_PREFIX "sweep: ")
