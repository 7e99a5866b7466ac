# Tests: unit binaries per room, fuzz targets or their corpus replay, simulation, integration, perf.

add_library(sl_test_support STATIC tests/support/sl_test.c tests/support/sl_test_files.c)
target_link_libraries(sl_test_support PUBLIC sl_flags)
target_compile_definitions(sl_test_support PRIVATE SL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
if(SLUICE_TEST_PLAIN)
  target_compile_definitions(sl_test_support PUBLIC SL_TEST_PLAIN=1)
elseif(CRITERION_FOUND)
  target_link_libraries(sl_test_support PUBLIC PkgConfig::CRITERION)
else()
  message(WARNING "Criterion is missing (run ci/setup): unit tests are not built")
endif()

# A leak or a finding of a sanitizer must end the process, otherwise a runner counts it as passed.
set(sl_test_env
  "ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1"
  "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
  "LC_ALL=C.UTF-8" "TZ=UTC"
  "TEST_SUPPORT=${CMAKE_SOURCE_DIR}/tests/support"
  "SLUICE_BIN=${CMAKE_BINARY_DIR}/sluice"
  "SLUICE_BUILD=${CMAKE_BINARY_DIR}")

function(sl_add_test name label timeout_s)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout_s}
    ENVIRONMENT "${sl_test_env}")
endfunction()

# unit
if(SLUICE_TEST_PLAIN OR CRITERION_FOUND)
  file(GLOB_RECURSE sl_unit_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/tests/unit
    tests/unit/*.c)
  set(sl_unit_rooms "")
  foreach(source ${sl_unit_sources})
    get_filename_component(room ${source} DIRECTORY)
    list(APPEND sl_unit_rooms ${room})
    list(APPEND "SL_UNIT_${room}" ${CMAKE_SOURCE_DIR}/tests/unit/${source})
  endforeach()
  list(REMOVE_DUPLICATES sl_unit_rooms)
  foreach(room ${sl_unit_rooms})
    string(REPLACE "/" "_" name test_${room})
    sl_room_target(${room} room_target)
    add_executable(${name} ${SL_UNIT_${room}})
    target_link_libraries(${name} PRIVATE sl_test_support)
    if(TARGET ${room_target})
      target_link_libraries(${name} PRIVATE ${room_target})
    endif()
    sl_scan_includes("${SL_UNIT_${room}}" wanted)
    target_link_libraries(${name} PRIVATE ${wanted})
    sl_add_test(${name} unit 600 ${name})
  endforeach()
endif()

# fuzz
file(GLOB sl_fuzz_sources CONFIGURE_DEPENDS tests/fuzz/*_fuzz.c)
foreach(source ${sl_fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" short ${name})
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${short})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE sl_flags)
  sl_link_includes_private(${name} ${source})
  if(SLUICE_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    sl_add_test(${name} fuzz 1200 ${name} -runs=0 ${corpus})
  else()
    target_sources(${name} PRIVATE tests/support/fuzz_replay.c)
    sl_add_test(${name} fuzz 600 ${name} ${corpus})
  endif()
endforeach()

# simulation: one program of all files; without arguments it runs the reduced seed count
file(GLOB sl_sim_sources CONFIGURE_DEPENDS tests/sim/*.c)
if(sl_sim_sources)
  add_executable(sluice_sim ${sl_sim_sources})
  target_link_libraries(sluice_sim PRIVATE sl_flags)
  sl_link_includes_private(sluice_sim "${sl_sim_sources}")
  sl_add_test(sim sim 1200 sluice_sim)
endif()

# perf: programs for ci/bench, never tests
file(GLOB sl_perf_sources CONFIGURE_DEPENDS tests/perf/*.c)
foreach(source ${sl_perf_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(perf_${name} ${source})
  target_link_libraries(perf_${name} PRIVATE sl_flags)
  sl_link_includes_private(perf_${name} ${source})
endforeach()

# programs that integration scripts call: $SLUICE_BUILD/<name>_tool
file(GLOB sl_tool_sources CONFIGURE_DEPENDS tests/support/*_tool.c)
foreach(source ${sl_tool_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE sl_flags)
  sl_link_includes_private(${name} ${source})
endforeach()

# integration: scripts that drive the built binary; their helpers live in tests/support
file(GLOB sl_integration CONFIGURE_DEPENDS tests/integration/*.sh tests/integration/*.py)
foreach(script ${sl_integration})
  get_filename_component(name ${script} NAME_WE)
  if(script MATCHES "\\.py$")
    sl_add_test(integration_${name} integration 1200 /usr/bin/python3 ${script})
  else()
    sl_add_test(integration_${name} integration 1200 bash ${script})
  endif()
endforeach()
