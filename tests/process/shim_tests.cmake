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

shim_program(process_probe ${shim_dir}/process_probe.cpp)
target_link_libraries(process_probe PRIVATE util)
shim_program(vfork_probe ${shim_dir}/vfork_probe.cpp)
add_library(other_vfork SHARED ${shim_dir}/other_vfork.S)
set_target_properties(other_vfork PROPERTIES LINKER_LANGUAGE C
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

# A second libc, where Debian's musl-tools are installed.
set(shim_musl "")
find_program(MUSL_GCC musl-gcc)
if(MUSL_GCC)
  set(shim_musl ${CMAKE_CURRENT_BINARY_DIR}/shim_musl)
  add_custom_command(OUTPUT ${shim_musl} DEPENDS ${shim_dir}/exit_probe.c
    COMMAND ${MUSL_GCC} -O1 -o ${shim_musl} ${shim_dir}/exit_probe.c)
  add_custom_target(shim_musl_probe ALL DEPENDS ${shim_musl})
endif()

add_executable(shim_tests ${shim_dir}/shim_test.cpp)
target_compile_definitions(shim_tests PRIVATE
  FORKSCOPE_PRELOAD="$<TARGET_FILE:forkscope_preload>"
  PRELOADED_TOO="/lib/x86_64-linux-gnu/libm.so.6"
  SHIM_PROBE="$<TARGET_FILE:shim_probe>"
  SHIM_STATIC="$<TARGET_FILE:cli_probe_static>"
  SHIM_MUSL="${shim_musl}"
  STACK_PROBE_O0="$<TARGET_FILE:stack_probe_o0>"
  STACK_PROBE_O2="$<TARGET_FILE:stack_probe_o2>"
  STACK_PROBE_FP="$<TARGET_FILE:stack_probe_fp>")
target_link_libraries(shim_tests PRIVATE cli_run)
add_dependencies(shim_tests forkscope forkscope_preload shim_probe stack_probe_o0 stack_probe_o2
  stack_probe_fp cli_probe_static)
catch_discover_tests(shim_tests TEST_PREFIX "shim: ")

add_test(NAME shim.exports_are_exactly_those_listed COMMAND ${shim_dir}/shim_exports_test.sh
  $<TARGET_FILE:forkscope_preload> ${FORKSCOPE_EXPORTS})
add_test(NAME shim.needs_libc_only COMMAND ${shim_dir}/shim_imports_test.sh
  $<TARGET_FILE:forkscope_preload> ${shim_dir}/shim_imports.txt)
add_test(NAME shim.fast_paths_leave_callee_saved_registers_alone
  COMMAND ${shim_dir}/shim_hot_path_test.sh $<TARGET_FILE:forkscope_preload>)

# A C++ library of a C program, loaded for itself alone.
add_executable(guard_probe ${shim_dir}/guard_probe.c)
target_link_libraries(guard_probe PRIVATE dl)
add_library(guard_plugin SHARED ${shim_dir}/guard_plugin.S)
target_link_libraries(guard_plugin PRIVATE -Wl,--no-as-needed stdc++)
set_target_properties(guard_probe guard_plugin PROPERTIES LINKER_LANGUAGE C
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
add_test(NAME shim.static_initialiser_that_ends_in_a_jump_to_release
  COMMAND guard_probe $<TARGET_FILE:guard_plugin>)
set_tests_properties(shim.static_initialiser_that_ends_in_a_jump_to_release PROPERTIES
  ENVIRONMENT LD_PRELOAD=$<TARGET_FILE:forkscope_preload> TIMEOUT 60
  PASS_REGULAR_EXPRESSION "^initialised 1, intercepted 1\n$")

add_executable(process_tests ${shim_dir}/process_test.cpp)
target_compile_definitions(process_tests PRIVATE
  PROCESS_PROBE="$<TARGET_FILE:process_probe>"
  VFORK_PROBE="$<TARGET_FILE:vfork_probe>"
  OTHER_VFORK="$<TARGET_FILE:other_vfork>")
target_link_libraries(process_tests PRIVATE cli_run)
add_dependencies(process_tests forkscope forkscope_preload process_probe vfork_probe other_vfork)
catch_discover_tests(process_tests TEST_PREFIX "process: ")

# Calls that a forked child may not make: unsafe_calls_test.cpp.
shim_program(unsafe_probe ${shim_dir}/unsafe_probe.cpp)
target_link_libraries(unsafe_probe PRIVATE forkscope_warnings)
target_compile_options(unsafe_probe PRIVATE -g -O0 -fno-builtin -fno-sanitize=all)
target_link_options(unsafe_probe PRIVATE -fno-sanitize=all)
add_executable(unsafe_tests ${shim_dir}/unsafe_calls_test.cpp)
target_compile_definitions(unsafe_tests PRIVATE
  UNSAFE_PROBE="$<TARGET_FILE:unsafe_probe>")
target_link_libraries(unsafe_tests PRIVATE cli_run)
add_dependencies(unsafe_tests forkscope forkscope_preload unsafe_probe)
catch_discover_tests(unsafe_tests TEST_PREFIX "unsafe: ")

# Descriptors that a child shares with its parent: descriptors_test.cpp.
shim_program(descriptors_probe ${shim_dir}/descriptors_probe.cpp)
target_link_libraries(descriptors_probe PRIVATE forkscope_warnings)
target_compile_options(descriptors_probe PRIVATE -g -O1)
add_executable(descriptors_tests ${shim_dir}/descriptors_test.cpp)
target_compile_definitions(descriptors_tests PRIVATE
  DESCRIPTORS_PROBE="$<TARGET_FILE:descriptors_probe>"
  SCENARIO_CONNECTION="$<TARGET_FILE:scenario_shared-connection>"
  SCENARIO_PIPE="$<TARGET_FILE:scenario_pipe-never-ends>")
target_link_libraries(descriptors_tests PRIVATE cli_run)
add_dependencies(descriptors_tests forkscope forkscope_preload descriptors_probe
  scenario_pipe-never-ends scenario_shared-connection)
catch_discover_tests(descriptors_tests TEST_PREFIX "descriptors: ")

# Faults, wrong answers: fault_test.cpp. One plugin needs the other, and the probe finds it by its
# own RUNPATH only.
shim_program(fault_probe ${shim_dir}/fault_probe.cpp)
target_compile_options(fault_probe PRIVATE -g -O2)
target_link_libraries(fault_probe PRIVATE ${CMAKE_DL_LIBS})
add_library(fault_needed SHARED ${shim_dir}/fault_plugin.c)
add_library(fault_plugin SHARED ${shim_dir}/fault_plugin.c)
target_compile_definitions(fault_plugin PRIVATE NEEDS_IT)
target_link_libraries(fault_plugin PRIVATE fault_needed)
set_target_properties(fault_needed fault_plugin PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/plugins)
set_target_properties(fault_probe PROPERTIES BUILD_RPATH ${CMAKE_CURRENT_BINARY_DIR}/plugins)

add_executable(fault_tests ${shim_dir}/fault_test.cpp)
target_compile_definitions(fault_tests PRIVATE
  FAULT_PROBE="$<TARGET_FILE:fault_probe>"
  FAULT_PLUGIN="$<TARGET_FILE:fault_plugin>")
target_link_libraries(fault_tests PRIVATE cli_run forkscope_record)
add_dependencies(fault_tests forkscope forkscope_preload fault_probe fault_plugin)
catch_discover_tests(fault_tests TEST_PREFIX "fault: ")

# forkscope/annotate.h: what a program says of itself.
shim_program(annotate_probe ${shim_dir}/annotate_probe.c)
target_compile_options(annotate_probe PRIVATE -g -O1)
target_include_directories(annotate_probe PRIVATE ${CMAKE_SOURCE_DIR}/preload/include)
add_executable(annotate_tests ${shim_dir}/annotate_test.cpp)
target_compile_definitions(annotate_tests PRIVATE
  ANNOTATE_PROBE="$<TARGET_FILE:annotate_probe>")
target_link_libraries(annotate_tests PRIVATE cli_run)
add_dependencies(annotate_tests forkscope forkscope_preload annotate_probe)
catch_discover_tests(annotate_tests TEST_PREFIX "annotate: ")
add_test(NAME annotate.header_in_every_language_and_linkage
  COMMAND ${shim_dir}/annotate_header_test.sh $<TARGET_FILE:forkscope>
  ${CMAKE_SOURCE_DIR}/preload/include ${shim_dir}/annotate_probe.c ${CMAKE_CURRENT_BINARY_DIR})

# Programs that must not notice the library.
shim_program(invisible_probe ${shim_dir}/invisible_probe.c)
add_executable(invisible_tests ${shim_dir}/invisible_test.cpp)
target_compile_definitions(invisible_tests PRIVATE
  INVISIBLE_PROBE="$<TARGET_FILE:invisible_probe>"
  VALGRIND_SUPPRESSIONS="${CMAKE_SOURCE_DIR}/preload/forkscope.supp")
target_link_libraries(invisible_tests PRIVATE cli_run)
add_dependencies(invisible_tests forkscope forkscope_preload invisible_probe)
catch_discover_tests(invisible_tests TEST_PREFIX "invisible: ")
