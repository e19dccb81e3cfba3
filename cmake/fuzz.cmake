# SPDX-License-Identifier: Apache-2.0
# Every tests/fuzz/NAME_fuzz.cc is a libFuzzer program NAME_fuzz; its corpus is tests/fuzz/corpus/NAME/, its
# dictionary, if it has one, tests/fuzz/NAME.dict. tools/fuzz.py runs them. Nothing but the fuzzers is built with the
# fuzzer's main().
file(GLOB fuzzers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/*_fuzz.cc)
add_custom_target(fuzzers)
foreach(source ${fuzzers})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE sluice_app)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
  add_dependencies(fuzzers ${name})
endforeach()
