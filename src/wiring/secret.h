// SPDX-License-Identifier: Apache-2.0
#pragma once
// A secret as Kubernetes mounts it: a folder with one file for each key. The same on a laptop.
#include <string>

#include "base/result.h"

namespace sluice::wiring {

class Secret {
 public:
  Secret(const std::string& secrets, const std::string& name) : folder_(secrets + "/" + name) {}
  [[nodiscard]] bool has(const std::string& key) const;
  // Without the line end that an editor adds. Code::denied names the file, never what is in it.
  [[nodiscard]] Result<std::string> read(const std::string& key) const;

 private:
  std::string folder_;
};

// The whole of a small file. Errors as above.
[[nodiscard]] Result<std::string> read_secret_file(const std::string& path);

}  // namespace sluice::wiring
