// SPDX-License-Identifier: Apache-2.0
// The part of doctor that asks a cluster: who serves external metrics there.
#include <fmt/core.h>

#include "app/doctor.h"
#include "external/certificate_keeper.h"
#include "kube/api_service.h"

namespace sluice::app {
namespace {

constexpr std::string_view group = "cluster";

void add(std::vector<Finding>& out, Health health, std::string code, std::string text, std::string fix = "") {
  out.push_back({std::string(group), health, std::move(code), std::move(text), std::move(fix)});
}

// Also of one that is somebody else's: HPAs get no numbers from it.
void check_available(std::vector<Finding>& out, const std::string& name, const kube::ApiService& service) {
  if (service.available == "True") {
    add(out, Health::ok, "", name + " is available");
    return;
  }
  const std::string why = service.reason.empty() ? "the API server has not looked at it yet"
                                                 : fmt::format("{}: {}", service.reason, service.message);
  add(out, Health::failed, "D051", fmt::format("{} is not available, so HPAs get no external metrics: {}", name, why),
      service.service.empty() ? "kubectl describe apiservice " + name
                              : fmt::format("kubectl -n {} get endpointslices,pods; kubectl -n {} describe service {}",
                                            service.space, service.space, service.service));
}

void check_owner(std::vector<Finding>& out, const std::string& name, const kube::ApiService& service) {
  const std::string owner = kube::owner_words(service);
  if (kube::product_of(service) == "sluice") {
    add(out, Health::ok, "", fmt::format("{} belongs to {}", name, owner));
    return;
  }
  std::string fix = "uninstall that one before sluice's adapter is installed";
  if (!service.service.empty()) {
    fix += fmt::format(
        ", or keep it behind: adapter.forwardTo=https://{}.{}.svc in the chart, --forward-to of "
        "sluice adapter",
        service.service, service.space);
  }
  add(out, Health::warning, "D050", fmt::format("{} belongs to {}; one server of a cluster has it", name, owner), fix);
}

}  // namespace

aio::Task<void> check_cluster(std::vector<Finding>& out, kube::Api& api, aio::Deadline deadline) {
  const std::string name = external::api_service_name();
  const Result<kube::ApiService> service = co_await kube::get_api_service(api, name, deadline);
  if (service) {
    check_owner(out, name, *service);
    check_available(out, name, *service);
  } else if (service.error().code == Code::gone) {
    add(out, Health::ok, "", fmt::format("{} is free: nobody serves external metrics", name));
  } else {
    const bool denied = service.error().code == Code::denied;
    add(out, denied ? Health::warning : Health::failed, "D052",
        fmt::format("who serves external metrics is unknown: {}", service.error().what),
        denied ? fmt::format("the right to get apiservices; kubectl auth can-i get apiservices/{}", name)
               : "kubectl version; the API server is that of " + api.access().origin);
  }
}

}  // namespace sluice::app
