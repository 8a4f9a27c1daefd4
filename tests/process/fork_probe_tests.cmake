# Probes: fork_probe_test.cpp.
set(fork_probe_dir ${CMAKE_CURRENT_LIST_DIR})
foreach(name fork_probe_program fork_probe_malloc)
  shim_program(${name} ${fork_probe_dir}/${name}.cpp)
  target_link_libraries(${name} PRIVATE forkscope_warnings)
  target_compile_options(${name} PRIVATE -g -O1 -fno-builtin -fno-sanitize=all)
  target_link_options(${name} PRIVATE -fno-sanitize=all)
endforeach()

add_executable(fork_probe_tests ${fork_probe_dir}/fork_probe_test.cpp)
target_compile_definitions(fork_probe_tests PRIVATE
  FORK_PROBE_PROGRAM="$<TARGET_FILE:fork_probe_program>"
  FORK_PROBE_MALLOC="$<TARGET_FILE:fork_probe_malloc>")
target_link_libraries(fork_probe_tests PRIVATE cli_run)
add_dependencies(fork_probe_tests forkscope forkscope_preload fork_probe_program fork_probe_malloc)
catch_discover_tests(fork_probe_tests TEST_PREFIX "fork probe: ")
