// SPDX-License-Identifier: Apache-2.0
#pragma once
// A key file that is replaced while it is in use: the last good content counts.
#include <optional>
#include <string>

#include "base/result.h"
#include "gcp/key.h"

namespace sluice::gcp {

class KeyFile {
 public:
  KeyFile(std::string path, KeyLimits limits) : path_(std::move(path)), limits_(limits) {}
  // Reads it where it is another than at the last good reading. True when there is another key now. A file that cannot
  // be used, half written or gone, leaves the key as it is.
  bool look();
  [[nodiscard]] const std::optional<Key>& key() const { return key_; }
  // Why the file as it is now cannot be used; names it. Empty: it can.
  [[nodiscard]] const std::optional<Error>& problem() const { return problem_; }

 private:
  // What tells two contents apart without reading them.
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;
    std::int64_t changed_s = 0;
    std::int64_t changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  [[nodiscard]] Result<Key> read(Stamp& stamp) const;

  std::string path_;
  KeyLimits limits_;
  std::optional<Key> key_;
  std::optional<Stamp> stamp_;  // of the content that key_ was read from
  std::optional<Error> problem_;
};

}  // namespace sluice::gcp
