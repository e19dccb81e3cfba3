// SPDX-License-Identifier: Apache-2.0
#include "aio/url.h"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>

#include "base/number.h"

namespace sluice::aio {
namespace {

constexpr std::string_view accepted = "accepted: http://host:port/path, https://host:port/path or unix:/path/of/socket";

Error bad(std::string_view why) {
  return Error{Code::invalid, fmt::format("not a URL to ask: {}; {}", why, accepted)};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_name(std::string_view host) {
  if (host.empty() || host.size() > 253) {
    return false;
  }
  // One trailing dot marks a name as complete.
  for (std::string_view rest = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;;) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view label = rest.substr(0, dot);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !std::ranges::all_of(label, [](char c) { return is_digit(c) || is_letter(c) || c == '-' || c == '_'; })) {
      return false;
    }
    if (dot == rest.size()) {
      return true;
    }
    rest.remove_prefix(dot + 1);
  }
}

// Names like 0x7f.1 or 2130706433, which some resolvers take for an address: no top-level domain begins with a digit.
bool looks_numeric(std::string_view host) {
  const std::string_view name = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
  return is_digit(name[name.rfind('.') + 1]);
}

Result<void> parse_host(Url& url, std::string_view host) {
  url.host = host;
  std::ranges::transform(url.host, url.host.begin(),
                         [](char c) { return is_letter(c) ? static_cast<char>(c | 0x20) : c; });
  in_addr v4{};
  if (::inet_pton(AF_INET, url.host.c_str(), &v4) == 1) {
    url.is_ip = true;
    return {};
  }
  if (!is_name(url.host)) {
    return bad("the host is not a name or an address");
  }
  if (looks_numeric(url.host)) {
    return bad("the host is neither a name nor an address of four decimal numbers");
  }
  return {};
}

Result<void> parse_authority(Url& url, std::string_view authority) {
  if (authority.contains('@')) {
    return bad("credentials do not belong in it");
  }
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    in6_addr v6{};
    url.host = close == std::string_view::npos ? std::string() : std::string(authority.substr(1, close - 1));
    if (::inet_pton(AF_INET6, url.host.c_str(), &v6) != 1) {
      return bad("the brackets hold no IPv6 address");
    }
    url.is_ip = true;
    port = authority.substr(close + 1);
    has_port = !port.empty();
    if (has_port && port.front() != ':') {
      return bad("something other than a port follows the address");
    }
    port.remove_prefix(has_port ? 1 : 0);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    has_port = colon < authority.size();
    port = has_port ? authority.substr(colon + 1) : std::string_view();
    if (const Result<void> host = parse_host(url, authority.substr(0, colon)); !host) {
      return host;
    }
  }
  if (has_port) {
    const auto number = parse_number<std::uint16_t>(port);
    if (number.value_or(0) == 0) {
      return bad("the port is not a number from 1 to 65535");
    }
    url.port = *number;
  }
  return {};
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  Url url;
  if (text.starts_with("unix:/")) {
    if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < ' '; })) {
      return bad("a control character");
    }
    url.scheme = Url::Scheme::unix_socket;
    url.host = text.substr(5);
    url.target = "/";
    return url;
  }
  if (text.size() > 8192 || !std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; })) {
    return bad("a blank, a line end or a character beyond ASCII, or longer than 8192 bytes");
  }
  const bool secure = text.starts_with("https://");
  if (!secure && !text.starts_with("http://")) {
    return bad("it begins with neither http://, https:// nor unix:/");
  }
  url.scheme = secure ? Url::Scheme::https : Url::Scheme::http;
  url.port = secure ? 443 : 80;
  text.remove_prefix(secure ? 8 : 7);
  if (text.contains('#')) {
    return bad("a fragment (#) is never sent");
  }
  const std::size_t path = std::min(text.find_first_of("/?"), text.size());
  if (text.substr(0, path).contains('\\')) {
    return bad("a backslash");
  }
  if (const Result<void> host = parse_authority(url, text.substr(0, path)); !host) {
    return host.error();
  }
  url.target = text.substr(path);
  if (!url.target.starts_with('/')) {
    url.target.insert(url.target.begin(), '/');
  }
  return url;
}

std::string Url::base() const {
  switch (scheme) {
    case Scheme::unix_socket:
      return "unix:" + host;
    case Scheme::http:
    case Scheme::https:
      break;
  }
  const std::string name = host.contains(':') ? fmt::format("[{}]", host) : host;
  return fmt::format("{}://{}:{}", scheme == Scheme::https ? "https" : "http", name, port);
}

std::string Url::host_field() const {
  if (scheme == Scheme::unix_socket) {
    return "localhost";
  }
  const std::string name = host.contains(':') ? fmt::format("[{}]", host) : host;
  return port == (scheme == Scheme::https ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

std::string percent_encoded(std::string_view text) {
  const bool dots = text == "." || text == "..";
  std::string out;
  for (const char c : text) {
    const bool plain = is_letter(c) || is_digit(c) || std::string_view("-_~").contains(c) || (c == '.' && !dots);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace sluice::aio
