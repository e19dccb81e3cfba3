// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a RabbitMQ is.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::queue::rabbit {

struct Node {
  std::string host;  // a name, or an address without brackets
  std::uint16_t port = 5672;
  friend bool operator==(const Node&, const Node&) = default;
};

struct Address {
  bool tls = false;
  std::vector<Node> nodes;  // of one cluster; at least one
  std::string vhost = "/";
  // "amqp://host:5672, virtual host /", for people; never holds credentials.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;
};

// `url` is amqp://host[:port] or amqps://host[:port]; `hosts` are further nodes, "host" or "host:port". Code::invalid
// with the accepted form otherwise; a user name or password is refused and never repeated.
[[nodiscard]] Result<Address> parse_address(std::string_view url, const std::vector<std::string>& hosts,
                                            std::string vhost);

}  // namespace sluice::queue::rabbit
