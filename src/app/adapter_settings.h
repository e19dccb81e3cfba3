// SPDX-License-Identifier: Apache-2.0
#pragma once
// From flags, environment and kubeconfig to what an adapter needs.
#include <optional>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "app/controller_settings.h"
#include "app/wiring.h"
#include "kube/access.h"

namespace sluice::app {

struct MonitoringSettings {
  std::string project;      // empty: the credentials' own
  std::string endpoint;     // empty: Google's
  std::string credentials;  // a key file; empty: the machine's own account
  Duration stale_after = std::chrono::minutes{5};
  Duration every = std::chrono::seconds{60};
};

struct AdapterSettings {
  kube::Access access;
  ListenAt listen = {.port = 6443};
  std::string service_space, service;  // whose name the certificate carries
  std::string cert_file, key_file;     // empty: one is made
  std::vector<std::string> controllers;
  LoadedQueues queues;
  std::optional<MonitoringSettings> monitoring;
  std::string forward_to;  // empty: nowhere
  std::string forward_ca;  // PEM; empty: the system's bundle
  std::string record;      // a file, or "-"; empty: none
  Duration drain{0};
};

// An Error is a usage or configuration error, and says what is accepted.
[[nodiscard]] Result<AdapterSettings> adapter_settings(Context& context, const Args& args);
[[nodiscard]] std::vector<Flag> adapter_flags();

}  // namespace sluice::app
