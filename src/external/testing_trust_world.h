// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cluster with the two objects that a CertificateKeeper works on, as strict with versions as the API server, and the
// replicas that do. Only *_test.cc includes this.
#include <fmt/core.h>

#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aio/base64.h"
#include "external/certificate_keeper.h"
#include "external/testing_trust.h"
#include "kube/testing_api.h"

namespace sluice::external {

inline constexpr const char* secret_path = "/api/v1/namespaces/ops/secrets/sluice-adapter-ca";
inline constexpr const char* api_service_path =
    "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io";

class TrustWorld {
 public:
  using Answer = kube::FakeApi::Answer;

  TrustWorld() {
    fake.on_request = [this](const std::string& method, const std::string& path, const std::string& body) {
      requests.push_back(method + " " + path);
      if (before) {
        before(method, path);
      }
      if (refuse && refuse(method, path) != 0) {
        return Answer{.status = refuse(method, path),
                      .body = R"({"kind":"Status","message":"User \"ops:sluice-adapter\" cannot do that"})"};
      }
      return path == secret_path        ? of_secret(method, body)
             : path == api_service_path ? of_service(method, body)
                                        : Answer{.status = 404};
    };
  }

  struct Replica {
    std::unique_ptr<kube::Api> api;
    std::unique_ptr<CertificateKeeper> keeper;
    std::vector<KeyedCertificate> certificates;
    std::vector<std::string> told;
  };
  [[nodiscard]] std::unique_ptr<Replica> replica(KeeperOptions options = {}) {
    auto out = std::make_unique<Replica>();
    Replica* const me = out.get();
    options.service = service_name;
    options.secret = "sluice-adapter-ca";
    kube::Access access;
    access.server = "http://api:80";
    me->api = std::make_unique<kube::Api>(loop, clock, access, kube::ReadFile{}, std::vector<std::string>{},
                                          kube::ApiOptions{.dial = fake.dial()});
    me->keeper = std::make_unique<CertificateKeeper>(
        *me->api, clock, random, options,
        [this, me](const KeyedCertificate& pair) {
          me->certificates.push_back(pair);
          changed();
        },
        [me](const std::string& trouble) { me->told.push_back(trouble); });
    return out;
  }
  [[nodiscard]] aio::Task<Result<void>> look(Replica& replica) {
    const aio::Deadline deadline = clock.in(std::chrono::seconds{10});
    const Result<void> out = co_await replica.keeper->look(deadline);
    co_return out;
  }

  [[nodiscard]] std::string bundle() const {
    const boost::json::value* text = service.at("spec").as_object().if_contains("caBundle");
    return text == nullptr ? "" : aio::from_base64(std::string(text->as_string())).value();
  }
  [[nodiscard]] std::string trust(const Replica& replica) const {
    return trust_in(bundle(), replica.certificates.back().cert_pem, service_name.host(), clock.wall());
  }
  [[nodiscard]] std::string data(const std::string& key) const {
    return aio::from_base64(std::string(secret.at("data").as_object().at(key).as_string())).value();
  }
  // As another replica would.
  void put_authorities(const std::vector<KeyedCertificate>& newest_first) {
    boost::json::object out;
    const std::vector<std::string> names{"ca", "previous"};
    for (std::size_t i = 0; i < newest_first.size(); ++i) {
      out[names[i] + ".crt"] = aio::to_base64(newest_first[i].cert_pem);
      out[names[i] + ".key"] = aio::to_base64(newest_first[i].key_pem);
    }
    secret["data"] = out;
    bump(secret);
  }
  void put_bundle(const std::string& pem) {
    service["spec"].as_object()["caBundle"] = aio::to_base64(pem);
    bump(service);
  }
  [[nodiscard]] auto count(const std::string& request) const { return std::ranges::count(requests, request); }

  aio::Loop loop;
  aio::VirtualClock clock{loop};
  Random random{7};
  kube::FakeApi fake{loop, clock};
  const ServiceName service_name{.space = "ops", .name = "sluice-adapter"};
  boost::json::object secret{
      {"kind", "Secret"},
      {"metadata", {{"name", "sluice-adapter-ca"}, {"resourceVersion", "1"}, {"labels", {{"a", "b"}}}}},
      {"type", "Opaque"}};
  boost::json::object service{{"kind", "APIService"},
                              {"metadata", {{"resourceVersion", "2"}}},
                              {"spec", {{"service", {{"namespace", "ops"}, {"name", "sluice-adapter"}}}}}};
  std::vector<std::string> requests;
  int conflicts = 0;
  std::function<void(const std::string& method, const std::string& path)> before;
  std::function<int(const std::string& method, const std::string& path)> refuse;  // a status, or 0
  std::function<void()> changed = [] {};                                          // a bundle, or what serves

 private:
  void bump(boost::json::object& object) {
    object["metadata"].as_object()["resourceVersion"] = fmt::format("{}", ++version_);
  }
  [[nodiscard]] bool is_current(const boost::json::object& object, const boost::json::object& sent) {
    const bool out = object.at("metadata").at("resourceVersion") == sent.at("metadata").at("resourceVersion");
    conflicts += out ? 0 : 1;
    return out;
  }
  Answer of_secret(const std::string& method, const std::string& body) {
    if (method == "PUT") {
      boost::json::object sent = boost::json::parse(body).as_object();
      if (!is_current(secret, sent)) {
        return {.status = 409};
      }
      secret = std::move(sent);
      bump(secret);
    }
    return {.body = boost::json::serialize(secret)};
  }
  Answer of_service(const std::string& method, const std::string& body) {
    if (method == "PATCH") {
      const boost::json::object sent = boost::json::parse(body).as_object();
      if (!is_current(service, sent)) {
        return {.status = 409};
      }
      boost::json::object& spec = service["spec"].as_object();
      for (const auto& member : sent.at("spec").as_object()) {
        if (member.value().is_null()) {
          spec.erase(member.key());
        } else {
          spec[member.key()] = member.value();
        }
      }
      if (spec.contains("caBundle") && spec.contains("insecureSkipTLSVerify")) {
        return {.status = 422};
      }
      bump(service);
      changed();
    }
    return {.body = boost::json::serialize(service)};
  }

  int version_ = 10;
};

}  // namespace sluice::external
