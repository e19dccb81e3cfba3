// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

namespace sluice::app {

inline constexpr std::string_view version = SLUICE_VERSION;  // the project's version in CMakeLists.txt

}  // namespace sluice::app
