// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is generated from the verbs' declarations, beside parser and help.
#include <span>
#include <string>

#include "app/cli.h"

namespace sluice::app {

// Section 1 manual page, roff.
[[nodiscard]] std::string man_page(std::span<const Verb> verbs);
// docs/reference/cli.md.
[[nodiscard]] std::string reference_page(std::span<const Verb> verbs);
// The script a shell loads; `shell` is bash, zsh or fish.
[[nodiscard]] std::string completion(std::span<const Verb> verbs, const std::string& shell);

}  // namespace sluice::app
