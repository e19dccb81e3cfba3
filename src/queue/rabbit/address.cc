// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/address.h"

#include <fmt/core.h>

#include "aio/url.h"

namespace sluice::queue::rabbit {
namespace {

constexpr std::string_view accepted =
    "accepted: amqp://host:port or amqps://host:port; user name and password belong into the pool's credentials, the "
    "virtual host into vhost";

// The rules for hosts and ports are those of every URL here; the scheme's own port is put in where none is given.
Result<Node> parse_node(std::string_view authority, std::uint16_t usual_port) {
  const bool has_port = authority.rfind(':') != std::string_view::npos && !authority.ends_with(']');
  const std::string whole =
      has_port ? fmt::format("http://{}/", authority) : fmt::format("http://{}:{}/", authority, usual_port);
  const Result<aio::Url> url = aio::parse_url(whole);
  if (!url || url->target != "/") {
    return Error{Code::invalid, fmt::format("not the address of a RabbitMQ; {}", accepted)};
  }
  return Node{.host = url->host, .port = url->port};
}

}  // namespace

std::string Address::text() const {
  const Node& first = nodes.front();
  const bool v6 = first.host.contains(':');
  return fmt::format("{}://{}{}{}:{}{}, virtual host {}", tls ? "amqps" : "amqp", v6 ? "[" : "", first.host,
                     v6 ? "]" : "", first.port, nodes.size() > 1 ? fmt::format(" and {} more", nodes.size() - 1) : "",
                     vhost);
}

Result<Address> parse_address(std::string_view url, const std::vector<std::string>& hosts, std::string vhost) {
  Address out{.tls = url.starts_with("amqps://"), .nodes = {}, .vhost = std::move(vhost)};
  if (!out.tls && !url.starts_with("amqp://")) {
    return Error{Code::invalid, fmt::format("not the address of a RabbitMQ; {}", accepted)};
  }
  url.remove_prefix(out.tls ? 8 : 7);
  if (url.ends_with('/')) {
    url.remove_suffix(1);
  }
  const std::uint16_t usual_port = out.tls ? 5671 : 5672;  // specification section 4.1, and IANA for TLS
  const Result<Node> first = parse_node(url, usual_port);
  if (!first) {
    return first.error();
  }
  out.nodes.push_back(*first);
  for (const std::string& host : hosts) {
    const Result<Node> node = parse_node(host, usual_port);
    if (!node) {
      return node.error();
    }
    out.nodes.push_back(*node);
  }
  return out;
}

}  // namespace sluice::queue::rabbit
