// SPDX-License-Identifier: Apache-2.0
#include "external/mounted_certificate.h"

#include <fmt/core.h>

namespace sluice::external {

MountedCertificate::MountedCertificate(aio::Clock& clock, kube::ReadFile read, MountedOptions options,
                                       std::function<void(const KeyedCertificate&)> on_certificate,
                                       std::function<void(const std::string&)> trouble)
    : clock_(clock),
      read_(std::move(read)),
      options_(std::move(options)),
      on_certificate_(std::move(on_certificate)),
      trouble_(std::move(trouble)) {}

Result<void> MountedCertificate::look() {
  Result<void> out = take();
  const std::string news = out ? "" : out.error().what;
  if (news != told_) {
    told_ = news;
    trouble_(news);
  }
  return out;
}

Result<void> MountedCertificate::take() {
  Result<std::string> cert = read_(options_.cert_file);
  if (!cert) {
    return cert.error();
  }
  Result<std::string> key = read_(options_.key_file);
  if (!key) {
    return key.error();
  }
  const KeyedCertificate pair{.cert_pem = std::move(*cert), .key_pem = std::move(*key)};
  if (pair != taken_) {
    const Result<Validity> validity = check_pair(pair);
    if (!validity) {
      return validity.error().in(fmt::format("{}, {}", options_.cert_file, options_.key_file));
    }
    taken_ = pair;
    validity_ = *validity;
    on_certificate_(taken_);
  }
  if (validity_.ended(clock_.wall())) {
    return Error{Code::invalid, fmt::format("{}: the certificate ended at {}; the API server refuses it",
                                            options_.cert_file, format_wall(validity_.until))};
  }
  return {};
}

aio::Task<void> MountedCertificate::run() {
  while (true) {
    (void)look();  // told by trouble()
    co_await clock_.sleep_for(options_.look_each);
  }
}

}  // namespace sluice::external
