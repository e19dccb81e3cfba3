// SPDX-License-Identifier: Apache-2.0
#pragma once
// A serving certificate from files, such as a mounted Secret of cert-manager. They are read again and again: Kubernetes
// swaps the folder of a mounted Secret in one step, but the two files are read one after the other, and other tools
// write them in place. So only a pair that fits is taken, and until there is one the last one serves.
#include <functional>
#include <string>

#include "aio/clock.h"
#include "external/serving_certificate.h"
#include "kube/access.h"

namespace sluice::external {

struct MountedOptions {
  std::string cert_file;
  std::string key_file;
  Duration look_each = std::chrono::seconds{5};
};

class MountedCertificate {
 public:
  // `on_certificate` gets each new pair. `trouble` is told, in one line that names the file, when what is there cannot
  // be taken or has ended, once for each reason; and, empty, when all is well again.
  MountedCertificate(aio::Clock& clock, kube::ReadFile read, MountedOptions options,
                     std::function<void(const KeyedCertificate&)> on_certificate,
                     std::function<void(const std::string&)> trouble);

  // Once. The error is what trouble() is told.
  Result<void> look();
  // Until cancelled.
  [[nodiscard]] aio::Task<void> run();

 private:
  [[nodiscard]] Result<void> take();

  aio::Clock& clock_;
  const kube::ReadFile read_;
  const MountedOptions options_;
  const std::function<void(const KeyedCertificate&)> on_certificate_;
  const std::function<void(const std::string&)> trouble_;
  KeyedCertificate taken_;
  Validity validity_{};  // of taken_
  std::string told_;
};

}  // namespace sluice::external
