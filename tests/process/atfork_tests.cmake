# At-fork handlers in real processes: atfork_test.cpp.
set(atfork_dir ${CMAKE_CURRENT_LIST_DIR})
shim_program(atfork_probe ${atfork_dir}/atfork_probe.cpp)
target_compile_options(atfork_probe PRIVATE -g -O1)
target_link_options(atfork_probe PRIVATE -rdynamic)  # the plugin calls it
target_link_libraries(atfork_probe PRIVATE forkscope_warnings ${CMAKE_DL_LIBS})
add_library(atfork_plugin SHARED ${atfork_dir}/atfork_plugin.c)
set_target_properties(atfork_plugin PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/plugins)

add_executable(atfork_tests ${atfork_dir}/atfork_test.cpp)
target_compile_definitions(atfork_tests PRIVATE
  ATFORK_PROBE="$<TARGET_FILE:atfork_probe>"
  ATFORK_PLUGIN="$<TARGET_FILE:atfork_plugin>")
target_link_libraries(atfork_tests PRIVATE cli_run)
add_dependencies(atfork_tests forkscope forkscope_preload atfork_probe atfork_plugin)
catch_discover_tests(atfork_tests TEST_PREFIX "atfork: ")
