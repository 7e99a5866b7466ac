# Rooms: one static library per directory, linked along its own #include lines.

# Sets `out` to the library name of a room ("core/yaml" -> "sl_core_yaml").
function(sl_room_target room out)
  string(REPLACE "/" "_" name ${room})
  set(${out} sl_${name} PARENT_SCOPE)
endfunction()

# Sets `out` to the link targets that the files' #include lines ask for.
function(sl_scan_includes files out)
  set(targets "")
  foreach(file ${files})
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} lines REGEX "^[ \t]*#[ \t]*include[ \t]")
    foreach(line ${lines})
      set(target "")
      if(line MATCHES "\"([A-Za-z0-9_/]+)/[A-Za-z0-9_.]+\"")
        sl_room_target(${CMAKE_MATCH_1} target)
      elseif(line MATCHES "<([A-Za-z0-9_/.-]+)>")
        sl_library_of_header(${CMAKE_MATCH_1} target)
      endif()
      if(target AND TARGET ${target})
        list(APPEND targets ${target})
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES targets)
  set(${out} "${targets}" PARENT_SCOPE)
endfunction()

# Links `target` with whatever `files` include.
function(sl_link_includes target files)
  sl_scan_includes("${files}" wanted)
  list(REMOVE_ITEM wanted ${target})
  target_link_libraries(${target} PUBLIC ${wanted})
endfunction()

# The same for programs.
function(sl_link_includes_private target files)
  sl_scan_includes("${files}" wanted)
  target_link_libraries(${target} PRIVATE ${wanted})
endfunction()

# Makes a library for every directory with sources. runners/shim is a program of its own.
macro(sl_add_rooms)
  file(GLOB_RECURSE sl_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
    core/*.c registry/*.c runners/*.c pipelines/*.c web/*.c cmd/*.c)
  file(GLOB_RECURSE sl_headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
    core/*.h registry/*.h runners/*.h pipelines/*.h web/*.h cmd/*.h)
  set(SL_ROOMS "")
  foreach(source ${sl_sources})
    get_filename_component(room ${source} DIRECTORY)
    if(NOT room MATCHES "^runners/shim" AND NOT room MATCHES "^pipelines/examples"
        AND NOT source STREQUAL "cmd/main.c")
      list(APPEND SL_ROOMS ${room})
      list(APPEND "SL_SOURCES_${room}" ${CMAKE_SOURCE_DIR}/${source})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES SL_ROOMS)
  foreach(room ${SL_ROOMS})
    sl_room_target(${room} target)
    add_library(${target} STATIC ${SL_SOURCES_${room}})
    target_link_libraries(${target} PUBLIC sl_flags)
  endforeach()
  foreach(header ${sl_headers})
    get_filename_component(room ${header} DIRECTORY)
    list(APPEND "SL_HEADERS_${room}" ${CMAKE_SOURCE_DIR}/${header})
  endforeach()
endmacro()

# After all targets exist. A room may adjust its own target in room.cmake (variable `target`).
macro(sl_link_rooms)
  foreach(room ${SL_ROOMS})
    sl_room_target(${room} target)
    sl_link_includes(${target} "${SL_SOURCES_${room}};${SL_HEADERS_${room}}")
    if(EXISTS ${CMAKE_SOURCE_DIR}/${room}/room.cmake)
      include(${CMAKE_SOURCE_DIR}/${room}/room.cmake)
    endif()
  endforeach()
endmacro()

# The executable: cmd/main.c with the room cmd, and a stripped copy in release builds.
macro(sl_add_program)
  if(EXISTS ${CMAKE_SOURCE_DIR}/cmd/main.c)
    add_executable(sluice cmd/main.c)
    target_link_libraries(sluice PRIVATE sl_flags)
    sl_scan_includes(${CMAKE_SOURCE_DIR}/cmd/main.c wanted)
    target_link_libraries(sluice PRIVATE ${wanted})
    if(TARGET sl_cmd)
      target_compile_definitions(sl_cmd PRIVATE SLUICE_VERSION="${PROJECT_VERSION}")
      target_link_libraries(sluice PRIVATE sl_cmd)
    endif()
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      add_custom_command(TARGET sluice POST_BUILD
        COMMAND ${CMAKE_STRIP} -o $<TARGET_FILE:sluice>.stripped $<TARGET_FILE:sluice>)
    endif()
  endif()
endmacro()
