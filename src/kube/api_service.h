// SPDX-License-Identifier: Apache-2.0
#pragma once
// An APIService: who serves a group of the API in the API server's place. A cluster has one for each group and version,
// so that two programs that serve the same one take it from each other.
#include <map>
#include <string>
#include <string_view>

#include "kube/api.h"

namespace sluice::kube {

struct ApiService {
  std::string version;    // resourceVersion
  std::string space;      // of the Service; both empty: the API server serves it itself
  std::string service;    // its name
  std::string ca_bundle;  // PEM
  bool skips_verification = false;
  std::map<std::string, std::string, std::less<>> labels;
  // The condition Available; no status: nobody has looked yet.
  std::string available;  // True, False, Unknown
  std::string reason;
  std::string message;
};

// Code::invalid names the field that cannot be read.
[[nodiscard]] Result<ApiService> read_api_service(std::string_view json);

// Errors as of Api::ask(), Code::gone when there is none of that name.
[[nodiscard]] aio::Task<Result<ApiService>> get_api_service(Api& api, std::string name, aio::Deadline deadline);

// The program behind it by the names that programs give their Services and labels: "KEDA", "sluice"; empty: unknown.
[[nodiscard]] std::string_view product_of(const ApiService& service);

// For people: "KEDA (Service keda/keda-operator-metrics-apiserver)".
[[nodiscard]] std::string owner_words(const ApiService& service);

}  // namespace sluice::kube
