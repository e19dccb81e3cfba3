// SPDX-License-Identifier: Apache-2.0
#include "app/demo_rabbit.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "wiring/queues.h"

namespace sluice::app {
namespace {

// amqp://host:port[/vhost]
Result<DemoRabbit> parse_queue(std::string_view given) {
  const bool tls = given.starts_with("amqps://");
  std::string_view rest = given;
  rest.remove_prefix(std::min(given.size(), given.find("://") + 3));
  if (const std::size_t at = rest.substr(0, rest.find('/')).rfind('@'); at != std::string_view::npos) {
    if (rest.substr(0, at) != "guest:guest" && rest.substr(0, at) != "guest") {
      return Error{Code::invalid,
                   "--queue: a URL with a login; accepted: no login but guest's in a URL, it is seen by every user of "
                   "this machine. Write it to DIR/rabbitmq/username and DIR/rabbitmq/password and add --secrets DIR"};
    }
    rest.remove_prefix(at + 1);
  }
  const std::size_t slash = rest.find('/');
  DemoRabbit out{
      .url = fmt::format("{}{}", tls ? "amqps://" : "amqp://", rest.substr(0, slash)), .queue = "", .secrets = ""};
  if (slash != std::string_view::npos && slash + 1 < rest.size()) {
    // As every AMQP URL does: /%2F is the virtual host "/" (RabbitMQ URI specification).
    const std::string_view name = rest.substr(slash + 1);
    out.vhost = name == "%2F" || name == "%2f" ? "/" : std::string(name);
  }
  if (const Result<void> address = wiring::check_address(out.url); !address) {
    return address.error().in("--queue");
  }
  if (out.vhost.find_first_of("%\"\\/\n\r") != std::string::npos && out.vhost != "/") {
    return Error{Code::invalid, "--queue: a virtual host with unusual letters; accepted: amqp://host:port/VHOST"};
  }
  return out;
}

}  // namespace

Result<std::optional<DemoRabbit>> demo_rabbit(Context& context, const Args& args) {
  const std::optional<std::string> given = args.text("queue");
  const std::string type = args.text("queue-type").value_or("quorum");
  if (!given && (args.has("queue-type") || args.has("secrets"))) {
    return Error{Code::invalid, "--queue-type and --secrets belong to --queue amqp://HOST:PORT"};
  }
  if (!given) {
    return std::optional<DemoRabbit>();
  }
  if (!given->starts_with("amqp://") && !given->starts_with("amqps://")) {
    return Error{Code::invalid,
                 "--queue: accepted: amqp://HOST:PORT or amqps://HOST:PORT; without it the queue is a file"};
  }
  Result<DemoRabbit> parsed = parse_queue(*given);
  if (!parsed) {
    return parsed.error();
  }
  parsed->queue = "sluice-demo-" + context.random.hex(6);
  parsed->quorum = type == "quorum";
  parsed->secrets = args.text("secrets").value_or("");
  return std::optional(std::move(*parsed));
}

}  // namespace sluice::app
