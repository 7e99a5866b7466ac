# The table names operations that live in the backends' own libraries.
target_link_libraries(${target} PUBLIC sl_runners_fake sl_runners_local)
