# Tests that are not one folder's unit tests: scripts in tests/integration run against the real binary.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/integration/*_test.py)
foreach(script ${scripts})
  get_filename_component(name ${script} NAME_WE)
  add_test(NAME integration.${name} COMMAND ${Python3_EXECUTABLE} ${script} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(integration.${name} PROPERTIES LABELS integration TIMEOUT 600
    ENVIRONMENT "SLUICE_BIN=$<TARGET_FILE:sluice>;SLUICE_BUILD=${CMAKE_BINARY_DIR}")
endforeach()

add_test(NAME tidy COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/tidy.py WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(tidy PROPERTIES LABELS unit)
