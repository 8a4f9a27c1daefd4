# Tests of the forkscope command: the real binary, run with small programs of known behaviour.
set(cli_dir ${CMAKE_CURRENT_LIST_DIR})

# What the command runs. One program, several forms of it.
add_executable(cli_probe ${cli_dir}/cli_probe.cpp)
add_executable(cli_probe_static ${cli_dir}/cli_probe.cpp)
target_link_options(cli_probe_static PRIVATE -static)
add_executable(cli_probe_foreign ${cli_dir}/cli_probe.cpp)
target_link_options(cli_probe_foreign PRIVATE -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1)
add_executable(cli_probe_orphan ${cli_dir}/cli_probe.cpp)
target_link_options(cli_probe_orphan PRIVATE -Wl,--dynamic-linker=/nonexistent/ld-linux-x86-64.so.2)
add_library(watch_pool SHARED ${cli_dir}/watch_pool.cpp)
add_executable(watch_probe ${cli_dir}/watch_probe.cpp)
target_link_libraries(watch_probe PRIVATE watch_pool)
foreach(part IN ITEMS watch_pool watch_probe)
  target_compile_options(${part} PRIVATE -O1 -g -fno-sanitize=all)
  target_link_options(${part} PRIVATE -fno-sanitize=all)
  target_link_libraries(${part} PRIVATE forkscope_warnings)
endforeach()
add_executable(exposure_probe ${cli_dir}/exposure_probe.cpp)
target_compile_options(exposure_probe PRIVATE -O1 -g)
add_library(exposure_other_tables SHARED ${cli_dir}/exposure_other_tables.c)
target_compile_options(exposure_other_tables PRIVATE -fno-sanitize=all)
target_link_options(exposure_other_tables PRIVATE -fno-sanitize=all)
set(cli_probes cli_probe cli_probe_static cli_probe_foreign cli_probe_orphan watch_probe
  exposure_probe)
find_package(OpenMP COMPONENTS C)
if(OpenMP_C_FOUND)
  add_executable(watch_openmp_probe ${cli_dir}/watch_openmp_probe.c)
  target_link_libraries(watch_openmp_probe PRIVATE OpenMP::OpenMP_C)
  list(APPEND cli_probes watch_openmp_probe)
  set(openmp_probe $<TARGET_FILE:watch_openmp_probe>)
endif()
find_package(Threads REQUIRED)
foreach(form IN LISTS cli_probes)
  # No sanitizer of the build: its runtime must be the first library, and so must ours.
  target_compile_options(${form} PRIVATE -fno-sanitize=all)
  target_link_options(${form} PRIVATE -fno-sanitize=all)
  target_link_libraries(${form} PRIVATE forkscope_warnings Threads::Threads)
  set_target_properties(${form} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
endforeach()

add_executable(cli_tests
  ${cli_dir}/cli_answer_test.cpp ${cli_dir}/cli_files_test.cpp
  ${cli_dir}/cli_findings_test.cpp ${cli_dir}/cli_job_control_test.cpp ${cli_dir}/cli_noise_test.cpp
  ${cli_dir}/cli_parts_test.cpp
  ${cli_dir}/cli_refusal_test.cpp ${cli_dir}/cli_session_test.cpp ${cli_dir}/cli_signal_test.cpp
  ${cli_dir}/cli_transparency_test.cpp ${cli_dir}/cli_watchdog_test.cpp
  ${cli_dir}/cli_watchdog_spin_test.cpp ${cli_dir}/exposure_test.cpp)
target_compile_definitions(cli_tests PRIVATE
  FORKSCOPE_PRELOAD="$<TARGET_FILE:forkscope_preload>"
  FORKSCOPE_PRELOAD_FOLDER="${FORKSCOPE_PRELOAD_DIR}"
  FORKSCOPE_EXPOSURE_PROBE="$<TARGET_FILE:exposure_probe>"
  FORKSCOPE_OTHER_TABLES="$<TARGET_FILE:exposure_other_tables>"
  FORKSCOPE_WATCH_PROBE="$<TARGET_FILE:watch_probe>"
  FORKSCOPE_OPENMP_PROBE="${openmp_probe}"
  FORKSCOPE_PROBE_STATIC="$<TARGET_FILE:cli_probe_static>"
  FORKSCOPE_PROBE_FOREIGN="$<TARGET_FILE:cli_probe_foreign>"
  FORKSCOPE_PROBE_ORPHAN="$<TARGET_FILE:cli_probe_orphan>")
target_link_libraries(cli_tests PRIVATE cli_run forkscope_cli)
if(FORKSCOPE_SANITIZE)  # as forkscope_cli, which it links
  target_compile_options(cli_tests PRIVATE -fsanitize=${FORKSCOPE_SANITIZE}
    -Wno-maybe-uninitialized)
endif()
if(TARGET cost_programs)
  target_sources(cli_tests PRIVATE ${cli_dir}/bench_test.cpp)
  target_compile_definitions(cli_tests PRIVATE
    FORKSCOPE_COST_BENCH="$<TARGET_FILE:cost_bench>"
    FORKSCOPE_COST_PAIR="$<TARGET_FILE:cost_pair>")
  add_dependencies(cli_tests cost_programs)
endif()
add_dependencies(cli_tests forkscope forkscope_preload exposure_other_tables ${cli_probes})
catch_discover_tests(cli_tests TEST_PREFIX "cli: ")
