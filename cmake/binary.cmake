# SPDX-License-Identifier: Apache-2.0
# The one program. A release is a stripped static-pie: nothing to install, runs in an empty container image.
add_executable(sluice src/app/main.cc)
target_link_libraries(sluice PRIVATE sluice_app)
set_target_properties(sluice PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
if(SLUICE_STATIC)
  target_link_options(sluice PRIVATE
    -static-pie -s -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
endif()
