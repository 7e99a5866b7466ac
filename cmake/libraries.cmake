# System libraries, each found once; sl_library_of_header says which one a header belongs to.

find_package(PkgConfig REQUIRED)
foreach(pair
    UV:libuv GIT2:libgit2 SQLITE:sqlite3 ARCHIVE:libarchive CURL:libcurl EXPAT:expat FYAML:libfyaml
    JANSSON:jansson LZ4:liblz4 OPENSSL:openssl SNAPPY:snappy SODIUM:libsodium XXHASH:libxxhash ZLIB:zlib ZSTD:libzstd)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 prefix)
  list(GET pair 1 module)
  pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module})
  if(NOT ${prefix}_FOUND)
    message(FATAL_ERROR "${module} is missing: run ci/setup")
  endif()
endforeach()
if(NOT SLUICE_TEST_PLAIN)
  pkg_check_modules(CRITERION QUIET IMPORTED_TARGET criterion)
endif()

# llhttp: C sources from Debian's node-llhttp. The strict mode is compiled in, and its macro has to
# agree between the parser and everyone who includes its header.
find_path(LLHTTP_SOURCE_DIR llhttp.c
  PATHS /usr/share/llhttp /usr/share/nodejs/llhttp/src NO_DEFAULT_PATH)
find_path(LLHTTP_INCLUDE_DIR llhttp.h
  PATHS /usr/share/include/llhttp ${LLHTTP_SOURCE_DIR} /usr/include NO_DEFAULT_PATH)
if(NOT LLHTTP_SOURCE_DIR OR NOT LLHTTP_INCLUDE_DIR)
  message(FATAL_ERROR "llhttp (Debian package node-llhttp) is missing: run ci/setup")
endif()
add_library(sl_llhttp STATIC EXCLUDE_FROM_ALL ${LLHTTP_SOURCE_DIR}/llhttp.c
  ${LLHTTP_SOURCE_DIR}/api.c ${LLHTTP_SOURCE_DIR}/http.c)
target_include_directories(sl_llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
target_compile_definitions(sl_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(sl_llhttp PRIVATE -w)

# Sets `out` to the link target of a system header, empty when it needs none.
function(sl_library_of_header header out)
  string(REGEX REPLACE "[./].*" "" stem ${header})
  set(table
    uv=PkgConfig::UV git2=PkgConfig::GIT2 sqlite3=PkgConfig::SQLITE archive=PkgConfig::ARCHIVE
    archive_entry=PkgConfig::ARCHIVE curl=PkgConfig::CURL expat=PkgConfig::EXPAT libfyaml=PkgConfig::FYAML
    jansson=PkgConfig::JANSSON lz4=PkgConfig::LZ4 openssl=PkgConfig::OPENSSL xxhash=PkgConfig::XXHASH
    zlib=PkgConfig::ZLIB zstd=PkgConfig::ZSTD snappy-c=PkgConfig::SNAPPY sodium=PkgConfig::SODIUM llhttp=sl_llhttp)
  set(found "")
  foreach(row ${table})
    if(row MATCHES "^${stem}=(.*)$")
      set(found ${CMAKE_MATCH_1})
    endif()
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()
