# The shim: a static program of its own, without our libraries, sanitizers or hardening flags that
# need a runtime. musl makes it a tenth of the size; without it the system's C library serves.
# Sets SL_SHIM_ELF, which runners/local embeds. (ci/checks: fork is allowed in this room.)
find_program(SLUICE_MUSL_GCC musl-gcc)
if(SLUICE_MUSL_GCC)
  set(sl_shim_cc ${SLUICE_MUSL_GCC})
else()
  set(sl_shim_cc ${CMAKE_C_COMPILER})
endif()
file(GLOB sl_shim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runners/shim/*.c)
list(APPEND sl_shim_sources ${CMAKE_SOURCE_DIR}/core/base/mask.c)
set(SL_SHIM_ELF ${CMAKE_BINARY_DIR}/shim/sluice-shim)
set(sl_shim_flags -static -Os -std=gnu17 -D_GNU_SOURCE -I${CMAKE_SOURCE_DIR}
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffunction-sections -fdata-sections
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wvla -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wswitch-enum
  -Wframe-larger-than=16384 -Wl,--gc-sections -s)
if(SLUICE_WERROR)
  list(APPEND sl_shim_flags -Werror)
endif()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/shim)
add_custom_command(OUTPUT ${SL_SHIM_ELF}
  COMMAND ${sl_shim_cc} ${sl_shim_flags} -o ${SL_SHIM_ELF} ${sl_shim_sources}
  DEPENDS ${sl_shim_sources} ${CMAKE_SOURCE_DIR}/runners/shim/shim_priv.h
    ${CMAKE_SOURCE_DIR}/core/base/base.h ${CMAKE_SOURCE_DIR}/core/base/mask.h
  COMMENT "Building the static shim"
  VERBATIM)
add_custom_target(sl_shim DEPENDS ${SL_SHIM_ELF})
