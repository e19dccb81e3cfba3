// SPDX-License-Identifier: Apache-2.0
#pragma once
// URLs of a pool, judged once. Each function describes what is wrong with a text, or is empty; credentials are never
// part of the description.
#include <optional>
#include <string>
#include <string_view>

namespace sluice::pool {

// amqp, amqps; host, optional port; no user, query, fragment, or path beyond "/" (the virtual host has its own field).
[[nodiscard]] std::optional<std::string> check_amqp_url(std::string_view text);
// http, https; host, optional port and path; no user, query, fragment, or .. and encoded slashes in the path.
[[nodiscard]] std::optional<std::string> check_http_url(std::string_view text);
// "host" or "host:port".
[[nodiscard]] std::optional<std::string> check_host(std::string_view text);

}  // namespace sluice::pool
