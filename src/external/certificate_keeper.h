// SPDX-License-Identifier: Apache-2.0
#pragma once
// A serving certificate that needs nobody: one of several replicas makes the authority, all of them see to it that the
// APIService trusts it, and each signs its own certificate and renews it.
//
// No request fails while the authority changes, because of three rules:
//   - the caBundle trusts the old authority beside the new one until the old one ends;
//   - a replica signs by the new one when the caBundle has held it for a while (`settle`): API servers learn of a
//     change of their APIService by a watch, not at once;
//   - the APIService is read before the Secret, and changed only if it is still what was read. Whoever is late with an
//     older Secret in hand so gets a conflict, and cannot take a newer authority out of the bundle.
#include <functional>
#include <optional>
#include <string>

#include "base/random.h"
#include "external/authority_secret.h"
#include "kube/api_service.h"

namespace sluice::external {

// v1beta1.external.metrics.k8s.io
[[nodiscard]] std::string api_service_name();

struct KeeperOptions {
  ServiceName service;
  std::string secret;  // its name, in the Service's namespace
  Duration look_each = std::chrono::minutes{1};
  Duration settle = std::chrono::minutes{1};
};

class CertificateKeeper {
 public:
  // All references outlive it. `on_certificate` gets each new pair. `trouble` is told what keeps it from its work, in
  // one line, once for each reason; and, empty, when all is well again.
  CertificateKeeper(kube::Api& api, aio::Clock& clock, Random& random, KeeperOptions options,
                    std::function<void(const KeyedCertificate&)> on_certificate,
                    std::function<void(const std::string&)> trouble);

  // One look at all of it. The error is what trouble() is told; a certificate may have come all the same, since an
  // APIService that cannot be read may still trust it.
  [[nodiscard]] aio::Task<Result<void>> look(aio::Deadline deadline);
  // Looks until cancelled.
  [[nodiscard]] aio::Task<void> run();

 private:
  [[nodiscard]] aio::Task<Result<void>> turn(aio::Deadline deadline);
  // At least one authority; `trouble` is why there is not the next one yet, which is due.
  struct Agreed {
    Authorities authorities;
    std::optional<Error> trouble = {};
  };
  // Those of the Secret, after another one was put there if that is due.
  [[nodiscard]] aio::Task<Result<Agreed>> agree(aio::Deadline deadline);
  // With another one in front of `now`, as the API server then has it.
  [[nodiscard]] aio::Task<Result<Authorities>> renew(std::string secret, Authorities now, aio::Deadline deadline);
  // The caBundle, after it was made to hold all of them.
  [[nodiscard]] aio::Task<Result<std::string>> publish(kube::ApiService service, const Authorities& authorities,
                                                       aio::Deadline deadline);
  // By whom to sign, of at least one. `bundle` is empty when it is not known.
  [[nodiscard]] const Authority& signer(const Authorities& authorities, const std::optional<std::string>& bundle);
  [[nodiscard]] Result<void> serve(const Authority& by);
  [[nodiscard]] std::string secret_path() const;
  [[nodiscard]] std::string secret_words() const;

  kube::Api& api_;
  aio::Clock& clock_;
  Random& random_;
  const KeeperOptions options_;
  const std::function<void(const KeyedCertificate&)> on_certificate_;
  const std::function<void(const std::string&)> trouble_;
  std::string signed_by_;  // the certificate of the authority of what serves; empty: nothing does
  Validity serving_{};
  std::string newest_seen_;     // in the bundle
  Time newest_since_ = Time{};  // when that was seen first
  std::string told_;
};

}  // namespace sluice::external
