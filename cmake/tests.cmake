# SPDX-License-Identifier: Apache-2.0
# Tests that are not one folder's unit tests: scripts in tests/integration run against the real binary.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/integration/*_test.py)
foreach(script ${scripts})
  get_filename_component(name ${script} NAME_WE)
  add_test(NAME integration.${name} COMMAND ${Python3_EXECUTABLE} ${script} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(integration.${name} PROPERTIES LABELS integration TIMEOUT 1200
    ENVIRONMENT "SLUICE_BIN=$<TARGET_FILE:sluice>;SLUICE_BUILD=${CMAKE_BINARY_DIR}")
  if(name MATCHES "^(faults_broker|management|rabbit|library|tools)")
    set_tests_properties(integration.${name} PROPERTIES COST 100)  # the longest first: nobody waits for them at the end
  endif()
endforeach()

# The house rules, the proof that each of them finds its violation, and that CI's sum hides none.
add_test(NAME tidy COMMAND ${Python3_EXECUTABLE} tools/tidy.py WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME tidy_test COMMAND ${Python3_EXECUTABLE} tools/tidy_test.py WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME counts_test COMMAND ${Python3_EXECUTABLE} tools/counts_test.py WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(tidy tidy_test counts_test PROPERTIES LABELS unit)

# The simulation as a program: sim_seeds --seeds N runs N seeds and ends with the line "N passed, N failed" (make
# seeds).
if(EXISTS ${CMAKE_SOURCE_DIR}/src/sim/seeds_main.cc AND NOT TARGET sim_seeds)
  add_executable(sim_seeds src/sim/seeds_main.cc)
  target_link_libraries(sim_seeds PRIVATE sluice_sim)
  set_target_properties(sim_seeds PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endif()

# The conformance suite against a RabbitMQ that an integration script starts.
if(TARGET sluice_queue_rabbit)
  add_executable(rabbit_conformance src/queue/rabbit/conformance_main.cc)
  target_link_libraries(rabbit_conformance PRIVATE sluice_queue_rabbit GTest::gtest GTest::gmock)
  set_target_properties(rabbit_conformance PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endif()

# The same against an emulator of Pub/Sub.
if(TARGET sluice_queue_pubsub)
  add_executable(pubsub_conformance src/queue/pubsub/conformance_main.cc)
  target_link_libraries(pubsub_conformance PRIVATE sluice_queue_pubsub GTest::gtest GTest::gmock)
  set_target_properties(pubsub_conformance PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endif()

# For tests/e2e/fence_test.py.
add_executable(sluice_no_lease tests/e2e/no_lease.cc)
target_link_libraries(sluice_no_lease PRIVATE sluice_app)
set_target_properties(sluice_no_lease PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
