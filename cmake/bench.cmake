# SPDX-License-Identifier: Apache-2.0
# Every bench/NAME_bench.cc is a program of its own, built only for `make bench`: with a main() of its own, or on Google
# Benchmark, which then brings the main(). A line `// links: pool aio` names the modules it needs (default: all).
# Google Benchmark is no need of the binary, so without it there are no benches.
add_custom_target(benches)
find_package(benchmark QUIET)
if(NOT benchmark_FOUND)
  message(STATUS "benches are left out: Google Benchmark is missing (tools/setup test installs it)")
  return()
endif()
file(GLOB benches CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*_bench.cc)
foreach(source ${benches})
  get_filename_component(name ${source} NAME_WE)
  sluice_links(${source} modules)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${name} PRIVATE ${modules} benchmark::benchmark)
  file(STRINGS ${source} own_main REGEX "int main\\(|BENCHMARK_MAIN\\(")
  if(NOT own_main)
    target_link_libraries(${name} PRIVATE benchmark::benchmark_main)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  add_dependencies(benches ${name})
endforeach()
# The load of bench/adapter_bench.py.
add_executable(https_load EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/https_load.cc)
target_link_libraries(https_load PRIVATE OpenSSL::SSL OpenSSL::Crypto Threads::Threads sluice_base)
set_target_properties(https_load PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
add_dependencies(benches https_load)
