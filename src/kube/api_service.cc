// SPDX-License-Identifier: Apache-2.0
#include "kube/api_service.h"

#include "aio/base64.h"
#include "kube/fields.h"

namespace sluice::kube {
namespace {

// Part of a Service's name or of a label's value, and whose it is. The first that is found counts: names that say more
// come first.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> products{{
    {"custom-metrics-stackdriver-adapter", "the Stackdriver adapter"},
    {"prometheus-adapter", "prometheus-adapter"},
    {"keda-metrics-apiserver", "KEDA"},
    {"keda-operator", "KEDA"},
    {"datadog", "Datadog"},
    {"kube-metrics-adapter", "kube-metrics-adapter"},
    {"k8s-cloudwatch-adapter", "the CloudWatch adapter"},
    {"azure-k8s-metrics-adapter", "the Azure adapter"},
    {"sluice", "sluice"},
}};

std::string bundle_of(const Fields& spec) {
  const Result<std::string> bytes = aio::from_base64(spec.text("caBundle"));
  if (!bytes) {
    spec.fail("caBundle", "base64");
  }
  return bytes.value_or("");
}

}  // namespace

Result<ApiService> read_api_service(std::string_view json) {
  return read_object<ApiService>(json, "APIService", [](const Fields& object) {
    ApiService out;
    const Fields meta = object.in("metadata");
    out.version = meta.text("resourceVersion");
    if (const boost::json::value* labels = meta.get("labels"); labels != nullptr && labels->is_object()) {
      const Fields values = meta.in("labels");
      for (const auto& member : labels->get_object()) {
        out.labels.emplace(member.key(), values.text(member.key()));
      }
    }
    const Fields spec = object.in("spec");
    out.space = spec.in("service").text("namespace");
    out.service = spec.in("service").text("name");
    out.ca_bundle = bundle_of(spec);
    out.skips_verification = spec.truth("insecureSkipTLSVerify");
    object.in("status").conditions([&out](const std::string& type, const std::string& status, const Fields& one) {
      if (type == "Available") {
        out.available = status;
        out.reason = one.text("reason");
        out.message = one.text("message");
      }
    });
    return out;
  });
}

aio::Task<Result<ApiService>> get_api_service(Api& api, std::string name, aio::Deadline deadline) {
  Call call{.path = "/apis/apiregistration.k8s.io/v1/apiservices/" + name};
  const Result<std::string> answer = co_await api.ask(std::move(call), deadline);
  co_return answer ? read_api_service(*answer) : answer.error();
}

std::string_view product_of(const ApiService& service) {
  for (const auto& [part, product] : products) {
    if (service.service.contains(part) ||
        std::ranges::any_of(service.labels, [&](const auto& label) { return label.second.contains(part); })) {
      return product;
    }
  }
  return "";
}

std::string owner_words(const ApiService& service) {
  if (service.service.empty()) {
    return "the API server itself";
  }
  const std::string_view product = product_of(service);
  const std::string where = fmt::format("Service {}/{}", service.space, service.service);
  return product.empty() ? where : fmt::format("{} ({})", product, where);
}

}  // namespace sluice::kube
