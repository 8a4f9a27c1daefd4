# Tests of the preload library in real processes, and of its machine code.
set(shim_dir ${CMAKE_CURRENT_LIST_DIR})

function(shim_program name)  # an observed program: never sanitized, its runtime would come first
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE Threads::Threads)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

shim_program(shim_probe ${shim_dir}/shim_probe.cpp)
target_link_libraries(shim_probe PRIVATE util)
shim_program(stack_probe_o0 ${shim_dir}/stack_probe.cpp)
target_compile_options(stack_probe_o0 PRIVATE -g -O0)
shim_program(stack_probe_o2 ${shim_dir}/stack_probe.cpp)
target_compile_options(stack_probe_o2 PRIVATE -g -O2)
shim_program(stack_probe_fp ${shim_dir}/stack_probe.cpp)
target_compile_options(stack_probe_fp PRIVATE -g -O2 -fno-omit-frame-pointer)

# A second libc, where Debian's musl-tools are installed.
set(shim_musl "")
find_program(MUSL_GCC musl-gcc)
if(MUSL_GCC)
  set(shim_musl ${CMAKE_CURRENT_BINARY_DIR}/shim_musl)
  add_custom_command(OUTPUT ${shim_musl} DEPENDS ${shim_dir}/exit_probe.c
    COMMAND ${MUSL_GCC} -O1 -o ${shim_musl} ${shim_dir}/exit_probe.c)
  add_custom_target(shim_musl_probe ALL DEPENDS ${shim_musl})
endif()

add_executable(shim_tests ${shim_dir}/shim_test.cpp ${shim_dir}/cli_run.cpp)
target_compile_definitions(shim_tests PRIVATE
  FORKSCOPE_EXE="$<TARGET_FILE:forkscope>"
  FORKSCOPE_PRELOAD="$<TARGET_FILE:forkscope_preload>"
  FORKSCOPE_PROBE="$<TARGET_FILE:cli_probe>"
  PRELOADED_TOO="/lib/x86_64-linux-gnu/libm.so.6"
  SHIM_PROBE="$<TARGET_FILE:shim_probe>"
  SHIM_STATIC="$<TARGET_FILE:cli_probe_static>"
  SHIM_MUSL="${shim_musl}"
  STACK_PROBE_O0="$<TARGET_FILE:stack_probe_o0>"
  STACK_PROBE_O2="$<TARGET_FILE:stack_probe_o2>"
  STACK_PROBE_FP="$<TARGET_FILE:stack_probe_fp>")
target_link_libraries(shim_tests PRIVATE forkscope_warnings catch_main nlohmann_json::nlohmann_json)
add_dependencies(shim_tests forkscope forkscope_preload shim_probe stack_probe_o0 stack_probe_o2
  stack_probe_fp cli_probe_static)
catch_discover_tests(shim_tests TEST_PREFIX "shim: ")

add_test(NAME shim.exports_are_exactly_those_listed COMMAND ${shim_dir}/shim_exports_test.sh
  $<TARGET_FILE:forkscope_preload> ${CMAKE_SOURCE_DIR}/preload/exports.map)
add_test(NAME shim.needs_libc_only COMMAND ${shim_dir}/shim_imports_test.sh
  $<TARGET_FILE:forkscope_preload> ${shim_dir}/shim_imports.txt)
add_test(NAME shim.fast_paths_leave_callee_saved_registers_alone
  COMMAND ${shim_dir}/shim_hot_path_test.sh $<TARGET_FILE:forkscope_preload>)
