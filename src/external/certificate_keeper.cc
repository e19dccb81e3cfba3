// SPDX-License-Identifier: Apache-2.0
#include "external/certificate_keeper.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "aio/base64.h"
#include "external/route.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;

constexpr Duration look_max = 20s;
constexpr int conflicts_max = 3;  // in one look; more of them wait for the next one
constexpr Backoff::Options again{.base = 1s, .cap = 60s};
// Replicas that began together do not ask together for ever.
constexpr int jitter = 10;  // one part of it

Result<std::string> patch_of(const kube::ApiService& service, const std::string& bundle) {
  boost::json::object spec{{"caBundle", aio::to_base64(bundle)}};
  if (service.skips_verification) {
    spec["insecureSkipTLSVerify"] = nullptr;  // both together are refused
  }
  return boost::json::serialize(
      boost::json::object{{"metadata", {{"resourceVersion", service.version}}}, {"spec", std::move(spec)}});
}

// The API server's words, and after them which right is missing.
Error lacking(const Error& error, std::string_view what, std::string_view right) {
  Error out = error.in(what);
  if (error.code == Code::denied) {
    out.what += fmt::format("; the adapter's service account needs the right to {}", right);
  }
  return out;
}

}  // namespace

std::string api_service_name() {
  return fmt::format("{}.{}", api_version, api_group);
}

CertificateKeeper::CertificateKeeper(kube::Api& api, aio::Clock& clock, Random& random, KeeperOptions options,
                                     std::function<void(const KeyedCertificate&)> on_certificate,
                                     std::function<void(const std::string&)> trouble)
    : api_(api),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      on_certificate_(std::move(on_certificate)),
      trouble_(std::move(trouble)) {}

aio::Task<void> CertificateKeeper::run() {
  Backoff backoff(again);
  while (true) {
    const aio::Deadline deadline = clock_.in(look_max);
    const Result<void> looked = co_await look(deadline);
    Duration pause = random_.between(options_.look_each - options_.look_each / jitter, options_.look_each);
    if (looked) {
      backoff.reset();
    } else {
      pause = std::min(pause, backoff.next(random_));
    }
    co_await clock_.sleep_for(pause);
  }
}

aio::Task<Result<void>> CertificateKeeper::look(aio::Deadline deadline) {
  Result<void> out;
  for (int i = 0; i < conflicts_max; ++i) {
    out = co_await turn(deadline);
    if (out || out.error().code != Code::conflict) {
      break;  // else somebody was first: from the beginning, with what is there now
    }
  }
  const std::string news = out ? "" : out.error().what;
  if (news != told_) {
    told_ = news;
    trouble_(news);
  }
  co_return out;
}

aio::Task<Result<void>> CertificateKeeper::turn(aio::Deadline deadline) {
  const std::string name = api_service_name();
  const Result<kube::ApiService> service = co_await kube::get_api_service(api_, name, deadline);
  const Result<Agreed> agreed = co_await agree(deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  Result<std::string> bundle = Error{};
  if (service) {
    bundle = co_await publish(*service, agreed->authorities, deadline);
  } else {
    bundle = lacking(service.error(), fmt::format("APIService {}", name), "get it");
  }
  if (!bundle && bundle.error().code == Code::conflict) {
    co_return bundle.error();
  }
  const std::optional<std::string> known = bundle ? std::optional(*bundle) : std::nullopt;
  const Result<void> served = serve(signer(agreed->authorities, known));
  if (!served) {
    co_return served.error();
  }
  if (!bundle) {
    co_return bundle.error();
  }
  co_return agreed->trouble ? Result<void>(*agreed->trouble) : Result<void>();
}

aio::Task<Result<CertificateKeeper::Agreed>> CertificateKeeper::agree(aio::Deadline deadline) {
  kube::Call get{.path = secret_path()};
  const Result<std::string> secret = co_await api_.ask(std::move(get), deadline);
  if (!secret && secret.error().code == Code::gone) {
    co_return Error{Code::gone, fmt::format("{}: it is not there; the chart makes it empty, and the adapter fills it",
                                            secret_words())};
  }
  if (!secret) {
    co_return lacking(secret.error(), secret_words(), "get it");
  }
  const Result<kube::SecretData> data = kube::read_secret(*secret);
  if (!data) {
    co_return data.error().in(secret_words());
  }
  const WallTime at = clock_.wall();
  Agreed out{.authorities = read_authorities(*data, at)};
  if (!needs_another(out.authorities, at)) {
    co_return out;
  }
  Result<Authorities> renewed = co_await renew(*secret, out.authorities, deadline);
  if (renewed) {
    out.authorities = std::move(*renewed);
  } else if (out.authorities.empty() || renewed.error().code == Code::conflict) {
    co_return renewed.error();
  } else {
    out.trouble = renewed.error();  // there are years left: serving goes on
  }
  co_return out;
}

aio::Task<Result<Authorities>> CertificateKeeper::renew(std::string secret, Authorities now, aio::Deadline deadline) {
  const WallTime at = clock_.wall();
  const Result<KeyedCertificate> fresh = make_authority(options_.service, at);
  if (!fresh) {
    co_return fresh.error();
  }
  Result<std::string> body = with_authority(secret, *fresh, now);
  if (!body) {
    co_return body.error().in(secret_words());
  }
  kube::Call put{.method = "PUT", .path = secret_path(), .body = std::move(*body)};
  const Result<std::string> written = co_await api_.ask(std::move(put), deadline);
  if (!written) {
    co_return lacking(written.error(), secret_words(), "update it");
  }
  const Result<kube::SecretData> agreed = kube::read_secret(*written);
  Authorities out = agreed ? read_authorities(*agreed, at) : Authorities();
  if (out.empty()) {
    co_return Error{Code::retry, fmt::format("{}: what was written there did not come back", secret_words())};
  }
  co_return out;
}

aio::Task<Result<std::string>> CertificateKeeper::publish(kube::ApiService service, const Authorities& authorities,
                                                          aio::Deadline deadline) {
  const std::string words = fmt::format("APIService {}", api_service_name());
  if (service.space != options_.service.space || service.service != options_.service.name) {
    co_return Error{Code::denied,
                    fmt::format("{} belongs to {}, not to Service {}/{}: no autoscaler asks this adapter", words,
                                kube::owner_words(service), options_.service.space, options_.service.name)};
  }
  std::string bundle = bundle_of(authorities);
  if (service.ca_bundle == bundle && !service.skips_verification) {
    co_return bundle;
  }
  Result<std::string> body = patch_of(service, bundle);
  kube::Call patch{.method = "PATCH",
                   .path = "/apis/apiregistration.k8s.io/v1/apiservices/" + api_service_name(),
                   .body = std::move(*body),
                   .content_type = "application/merge-patch+json"};
  const Result<std::string> answer = co_await api_.ask(std::move(patch), deadline);
  if (!answer) {
    co_return lacking(answer.error(), words, "patch it");
  }
  co_return bundle;
}

const Authority& CertificateKeeper::signer(const Authorities& authorities, const std::optional<std::string>& bundle) {
  const Authority& newest = authorities.front();
  const Authority& oldest = authorities.back();
  if (!bundle) {
    const auto same =
        std::ranges::find(authorities, signed_by_, [](const Authority& one) { return one.pair.cert_pem; });
    return same != authorities.end() ? *same : oldest;
  }
  if (newest_seen_ != newest.pair.cert_pem) {
    newest_seen_ = newest.pair.cert_pem;
    newest_since_ = clock_.now();
  }
  return clock_.now() - newest_since_ >= options_.settle ? newest : oldest;
}

Result<void> CertificateKeeper::serve(const Authority& by) {
  const WallTime at = clock_.wall();
  if (by.pair.cert_pem == signed_by_ && !serving_.renewal_due(at)) {
    return {};
  }
  const Result<KeyedCertificate> made = make_serving(by.pair, options_.service, at);
  if (!made) {
    return made.error();
  }
  const Result<Validity> validity = check_pair(*made);
  if (!validity) {
    return validity.error();
  }
  signed_by_ = by.pair.cert_pem;
  serving_ = *validity;
  on_certificate_(*made);
  return {};
}

std::string CertificateKeeper::secret_path() const {
  return fmt::format("/api/v1/namespaces/{}/secrets/{}", options_.service.space, options_.secret);
}

std::string CertificateKeeper::secret_words() const {
  return fmt::format("Secret {}/{}", options_.service.space, options_.secret);
}

}  // namespace sluice::external
