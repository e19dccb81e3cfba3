// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a request goes, parsed once and typed. Strict: what two programs could read as two hosts is refused.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::aio {

struct Url {
  enum class Scheme { http, https, unix_socket };
  Scheme scheme = Scheme::http;
  std::string host;        // lower case; an IPv6 literal without brackets; of a unix socket its path
  std::uint16_t port = 0;  // 0 for a unix socket
  std::string target;      // path and query, at least "/"
  bool is_ip = false;

  // For ClientOptions: "http://host:port", "https://[::1]:443", "unix:/path".
  [[nodiscard]] std::string base() const;
  // For the Host field: without the scheme's own port; "localhost" for a unix socket.
  [[nodiscard]] std::string host_field() const;
};

// "http://host[:port][/path][?query]", the same with https, or "unix:/path/of/socket". Code::invalid with the accepted
// form for the rest: user names and passwords (never repeated in the error), fragments, hosts with other characters
// than letters, digits, '-', '_' and '.', IPv4 addresses not written as four decimal numbers, port 0.
[[nodiscard]] Result<Url> parse_url(std::string_view text);

// A name as a part of a path or the value of a parameter: all but unreserved characters (RFC 3986, 2.3) as %XX, so the
// virtual host "/" is %2F; "." and ".." too, which a path takes away.
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace sluice::aio
