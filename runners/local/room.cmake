# The shim's image becomes bytes of this library.
set_source_files_properties(${CMAKE_SOURCE_DIR}/runners/local/shim_image.c PROPERTIES
  OBJECT_DEPENDS ${SL_SHIM_ELF}
  COMPILE_DEFINITIONS "SL_SHIM_ELF=\"${SL_SHIM_ELF}\"")
add_dependencies(${target} sl_shim)
