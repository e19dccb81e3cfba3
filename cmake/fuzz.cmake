# SPDX-License-Identifier: Apache-2.0
# Every tests/fuzz/NAME_fuzz.cc is a libFuzzer program NAME_fuzz; its corpus is tests/fuzz/corpus/NAME/, its dictionary,
# if it has one, tests/fuzz/NAME.dict. tools/fuzz.py runs them. A line `// links: pool aio` names the modules it
# needs, so that a fuzzer does not wait for the whole tree; without it, all are linked.
file(GLOB fuzzers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/*_fuzz.cc)
add_custom_target(fuzzers)
foreach(source ${fuzzers})
  get_filename_component(name ${source} NAME_WE)
  sluice_links(${source} modules)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${modules})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
  add_dependencies(fuzzers ${name})
endforeach()
