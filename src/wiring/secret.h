// SPDX-License-Identifier: Apache-2.0
#pragma once
// Secrets as Kubernetes keeps them: a name, and below it keys with bytes. On a laptop and in a worker's pod a Secret is
// a folder with one file for each key.
#include <string>

#include "base/result.h"

namespace sluice::wiring {

// Where the Secrets are that pools name. What it says may be another thing each time: a Secret is changed while it is
// in use. Asked on the loop alone.
class SecretSource {
 public:
  virtual ~SecretSource() = default;
  [[nodiscard]] virtual bool has(const std::string& name, const std::string& key) const = 0;
  // Without the line end that an editor adds. Code::denied names the place, never what is in it.
  [[nodiscard]] virtual Result<std::string> read(const std::string& name, const std::string& key) const = 0;
  // Names the place of a Secret: what has the same place is the same Secret.
  [[nodiscard]] virtual std::string place(const std::string& name) const = 0;
};

// A folder in which a Secret is the folder of its name.
class FolderSecrets final : public SecretSource {
 public:
  explicit FolderSecrets(std::string folder) : folder_(std::move(folder)) {}
  [[nodiscard]] bool has(const std::string& name, const std::string& key) const override;
  [[nodiscard]] Result<std::string> read(const std::string& name, const std::string& key) const override;
  [[nodiscard]] std::string place(const std::string& name) const override { return folder_ + "/" + name; }

 private:
  std::string folder_;
};

// The whole of a small file. Errors as above.
[[nodiscard]] Result<std::string> read_secret_file(const std::string& path);
// Without the line end that an editor adds.
[[nodiscard]] std::string without_line_end(std::string text);

}  // namespace sluice::wiring
