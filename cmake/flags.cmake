# SPDX-License-Identifier: Apache-2.0
# Flags of every target. The hardening set is the OpenSSF guide's, as far as clang 19 takes it.
add_compile_options(
  -Wall -Wextra -Wformat=2 -Wimplicit-fallthrough -Wshadow -Wnon-virtual-dtor -Werror
  -Werror=format-security -Wno-unknown-warning-option -Wno-missing-designated-field-initializers
  -ffp-contract=off  # decisions are the same bits on every machine
  -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing
  -fdebug-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
add_link_options(-fuse-ld=lld)

# BOOST_ASIO_SEPARATE_COMPILATION: asio's code is compiled once, in src/aio/asio_impl.cc.
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_SEPARATE_COMPILATION)

if(SLUICE_SANITIZE)
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
  # Recycled coroutine frames would hide a use after free from the sanitizers.
  add_compile_definitions(BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING)
else()
  add_compile_options(
    -fstack-clash-protection -fstack-protector-strong -fcf-protection=full -ftrivial-auto-var-init=zero)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -ffunction-sections -fdata-sections)
  # A program of one file should be small: what nobody calls goes, what is the same is there once, and the addresses
  # that a position-independent program puts right at its start are packed.
  add_link_options(-Wl,--gc-sections -Wl,--icf=safe -Wl,-z,pack-relative-relocs)
endif()
