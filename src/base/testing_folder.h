// SPDX-License-Identifier: Apache-2.0
#pragma once
// For tests: a folder of their own.
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/check.h"

namespace sluice {

// A new, empty folder among the temporary ones; whoever asked for it removes it.
[[nodiscard]] inline std::string fresh_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "sluice-XXXXXX").string();  // mkdtemp(3) fills the X in
  check(::mkdtemp(name.data()) != nullptr, "no temporary folder");
  return name;
}

// One that goes, with all that is in it, when this does.
class TestFolder {
 public:
  TestFolder() : path_(fresh_folder()) {}
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace sluice
