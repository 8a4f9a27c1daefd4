# Latent deadlocks in real processes: latent_test.cpp.
set(latent_dir ${CMAKE_CURRENT_LIST_DIR})
shim_program(latent_probe ${latent_dir}/latent_probe.cpp)
target_compile_options(latent_probe PRIVATE -g -O1)
target_link_libraries(latent_probe PRIVATE forkscope_warnings ${CMAKE_DL_LIBS})
foreach(plugin latent_plugin second_plugin)
  add_library(${plugin} SHARED ${latent_dir}/latent_plugin.c)
  target_compile_definitions(${plugin} PRIVATE PLUGIN_USE=${plugin}_use)
  set_target_properties(${plugin} PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/plugins)
endforeach()

add_executable(latent_tests ${latent_dir}/latent_test.cpp)
target_compile_definitions(latent_tests PRIVATE
  LATENT_PROBE="$<TARGET_FILE:latent_probe>"
  LATENT_PLUGIN="$<TARGET_FILE:latent_plugin>")
target_link_libraries(latent_tests PRIVATE cli_run)
add_dependencies(latent_tests forkscope forkscope_preload latent_probe latent_plugin second_plugin)
catch_discover_tests(latent_tests TEST_PREFIX "latent: ")
