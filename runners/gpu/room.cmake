# Tests open this in the place of the driver's libnvidia-ml.so.1.
add_library(fake_nvml MODULE ${CMAKE_SOURCE_DIR}/tests/support/fake_nvml.c)
target_link_libraries(fake_nvml PRIVATE sl_flags)
set_target_properties(fake_nvml PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_link_libraries(${target} PUBLIC ${CMAKE_DL_LIBS})
