// SPDX-License-Identifier: Apache-2.0
#pragma once
// The demo on a RabbitMQ: what `--queue` and its flags say.
#include <optional>
#include <string>

#include "app/cli.h"
#include "app/context.h"
#include "base/result.h"

namespace sluice::app {

// A queue on a RabbitMQ in place of the file.
struct DemoRabbit {
  std::string url;  // without credentials
  std::string vhost = "/";
  std::string queue;
  bool quorum = true;
  std::string secrets;  // the folder whose folder "rabbitmq" holds the login; empty: guest
};

// Empty: the local queue. Code::invalid with the accepted form, which never repeats a password. A login in the URL may
// be guest's, and is left out then.
[[nodiscard]] Result<std::optional<DemoRabbit>> demo_rabbit(Context& context, const Args& args);

}  // namespace sluice::app
