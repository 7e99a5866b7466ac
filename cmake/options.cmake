# Compiler and linker flags, and the options that presets set.

if("$ENV{CI}" STREQUAL "")
  set(sl_werror_default OFF)
else()
  set(sl_werror_default ON)
endif()
option(SLUICE_WERROR "Warnings are errors" ${sl_werror_default})
option(SLUICE_COVERAGE "Instrument for gcov" OFF)
option(SLUICE_FUZZ "Build fuzz targets with libFuzzer (clang)" OFF)
option(SLUICE_TEST_PLAIN "Unit tests use the in-process runner instead of Criterion" OFF)
set(SLUICE_SANITIZE "" CACHE STRING "Value of -fsanitize for everything that is compiled")

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Debug)
endif()

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(sl_flags INTERFACE)
target_compile_definitions(sl_flags INTERFACE _GNU_SOURCE)
target_include_directories(sl_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(sl_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wvla -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wnull-dereference
  -Wswitch-enum -fno-common -fstack-protector-strong -fstack-clash-protection
  "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
target_link_options(sl_flags INTERFACE -Wl,--as-needed -Wl,-z,relro -Wl,-z,now)
target_link_libraries(sl_flags INTERFACE m)

if(SLUICE_WERROR)
  target_compile_options(sl_flags INTERFACE -Werror)
endif()
if(SLUICE_SANITIZE)
  # Sanitizers enlarge stack frames and replace what _FORTIFY_SOURCE checks.
  target_compile_options(sl_flags INTERFACE -fsanitize=${SLUICE_SANITIZE}
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sl_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
else()
  target_compile_options(sl_flags INTERFACE -Wframe-larger-than=16384)
  target_compile_definitions(sl_flags INTERFACE _FORTIFY_SOURCE=3)
endif()
if(SLUICE_FUZZ)
  target_compile_options(sl_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(SLUICE_COVERAGE)
  target_compile_options(sl_flags INTERFACE --coverage)
  target_link_options(sl_flags INTERFACE --coverage)
endif()

# CUDA lives in a plugin opened at run time; the build only says whether one could be made.
find_program(SLUICE_NVCC nvcc HINTS /usr/local/cuda/bin)
if(SLUICE_NVCC)
  message(STATUS "CUDA compiler: ${SLUICE_NVCC}")
else()
  message(STATUS "CUDA compiler: none (not needed)")
endif()
