# SPDX-License-Identifier: Apache-2.0
# The worker library for C++ programs (include/sluice/worker.h): one archive with all it needs but libstdc++ and libc,
# so that a user's build, with g++ or clang, needs none of our dependencies installed.
#
#   ninja -C build/release sluice_library && cmake --install build/release --component library --prefix DIR
#
# Not from a sanitizer build: its objects need the sanitizer's runtime in the user's program.
if(SLUICE_SANITIZE)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(archive ${CMAKE_BINARY_DIR}/libsluice.a)
set(script ${CMAKE_BINARY_DIR}/libsluice.mri)
set(modules base model policy pool aio gcp queue queue_local queue_rabbit queue_pubsub fleet fleet_process worker wiring
  lib)
set(parts)
set(lines "create ${archive}\n")
foreach(module ${modules})
  list(APPEND parts sluice_${module})
  string(APPEND lines "addlib $<TARGET_FILE:sluice_${module}>\n")
endforeach()
# Members that nothing refers to stay out of the user's program.
foreach(library Boost::json Boost::url Boost::container OpenSSL::SSL OpenSSL::Crypto)
  string(APPEND lines "addlib $<TARGET_FILE:${library}>\n")
endforeach()
foreach(file ${YAML_CPP_LIBRARY} ${SQLITE_LIBRARY} ${CARES_LIBRARY} ${RABBITMQ_LIBRARY})
  string(APPEND lines "addlib ${file}\n")
endforeach()
file(GENERATE OUTPUT ${script} CONTENT "${lines}save\nend\n")

add_custom_command(OUTPUT ${archive}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} -M < ${script}
  DEPENDS ${parts} ${script}
  COMMENT "Merging libsluice.a")
add_custom_target(sluice_library DEPENDS ${archive})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/sluice-config.cmake.in ${CMAKE_BINARY_DIR}/sluice-config.cmake
  INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/sluice-config-version.cmake COMPATIBILITY SameMinorVersion)

install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(FILES ${CMAKE_SOURCE_DIR}/include/sluice/worker.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sluice COMPONENT library)
install(FILES ${CMAKE_BINARY_DIR}/sluice-config.cmake ${CMAKE_BINARY_DIR}/sluice-config-version.cmake
  DESTINATION ${package} COMPONENT library)
