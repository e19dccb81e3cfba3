// SPDX-License-Identifier: Apache-2.0
#pragma once
// From flags, environment and kubeconfig to what a controller needs.
#include <cstdint>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "kube/access.h"

namespace sluice::app {

// Where to listen.
struct ListenAt {
  std::string address = "0.0.0.0";
  std::uint16_t port = 7171;  // contracts
};
// "ADDRESS:PORT", ":PORT": --listen. The error says what is accepted.
[[nodiscard]] Result<ListenAt> parse_listen(const std::string& text);

struct ControllerSettings {
  kube::Access access;
  std::vector<std::string> spaces;  // an empty name: all of them
  std::string lease_space;
  std::string lease;
  std::string secrets;
  std::string journal;
  ListenAt listen;
};

// An Error is a usage or configuration error, and says what is accepted.
[[nodiscard]] Result<ControllerSettings> controller_settings(Context& context, const Args& args);
// Files as they are: Code::gone for one that is not there.
[[nodiscard]] kube::ReadFile file_reader();

}  // namespace sluice::app
