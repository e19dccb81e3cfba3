// SPDX-License-Identifier: Apache-2.0
#include "pool/url.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/url.hpp>

#include "base/number.h"
#include "pool/problem.h"

namespace sluice::pool {
namespace {

using Found = std::optional<std::string>;
namespace urls = boost::urls;

// A name whose last part is a number is no name: resolvers read 0x7f.1 and 2130706433 as addresses, each in its own
// way.
bool numeric_but_no_address(std::string_view host) {
  host = host.substr(0, host.size() - (host.ends_with('.') ? 1 : 0));  // a rooted name
  const std::size_t dot = host.find_last_of('.');
  const std::string_view last = host.substr(dot == std::string_view::npos ? 0 : dot + 1);
  return !last.empty() && (last.find_first_not_of("0123456789") == std::string_view::npos || last.starts_with("0x") ||
                           last.starts_with("0X"));
}

bool host_name(std::string_view host) {
  if (host.ends_with('.')) {
    host.remove_suffix(1);  // a rooted name
  }
  while (true) {
    const std::string_view label = host.substr(0, host.find('.'));
    const auto good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !std::all_of(label.begin(), label.end(), good)) {
      return false;
    }
    if (label.size() == host.size()) {
      return true;
    }
    host.remove_prefix(label.size() + 1);
  }
}

Found check_authority(const urls::url_view& url, std::string_view shown_url) {
  if (url.has_userinfo()) {
    return fmt::format("a user in \"{}\"", shown_url);
  }
  const std::string host = url.host();
  switch (url.host_type()) {
    case urls::host_type::ipv4:
    case urls::host_type::ipv6:
      break;
    case urls::host_type::name:
      if (host.empty()) {
        return fmt::format("\"{}\" without a host", shown_url);
      }
      if (host.size() > 253 || !host_name(host) || numeric_but_no_address(host)) {
        return fmt::format("the host \"{}\", which is neither a name nor an address", shown(host));
      }
      break;
    default:
      return fmt::format("\"{}\" without a host that can be reached", shown_url);
  }
  const auto port = parse_number<unsigned>({url.port().data(), url.port().size()});
  if (url.has_port() && (!port || *port < 1 || *port > 65535)) {
    return fmt::format("\"{}\" with a port that is not 1 to 65535", shown_url);
  }
  return std::nullopt;
}

struct Parts {
  std::string_view scheme;      // this or
  std::string_view tls_scheme;  // this
  bool path;
};

Found check_url(std::string_view text, const Parts& parts) {
  const std::string safe = shown(text);
  if (text.find('@') != std::string_view::npos) {  // whatever a lenient reader would take for the user's end
    return fmt::format("credentials in \"{}\"", safe);
  }
  if (const auto odd = std::find_if(
          text.begin(), text.end(),
          [](char c) { return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f; });
      odd != text.end()) {
    return fmt::format("\"{}\" with a character that a URL cannot hold", safe);
  }
  const urls::result<urls::url_view> url = urls::parse_uri(text);
  if (!url) {
    return fmt::format("\"{}\", which is no URL", safe);
  }
  const std::string scheme(url->scheme());
  if (scheme != parts.scheme && scheme != parts.tls_scheme) {
    return fmt::format("\"{}\" with the scheme {}", safe, shown(scheme));
  }
  if (Found found = check_authority(*url, safe)) {
    return found;
  }
  if (url->has_query() || url->has_fragment()) {
    return fmt::format("\"{}\" with {}", safe, url->has_query() ? "a query behind ?" : "a fragment behind #");
  }
  const std::string_view path{url->encoded_path().data(), url->encoded_path().size()};
  if (!parts.path && path != "" && path != "/") {
    return fmt::format("\"{}\" with a path", safe);
  }
  if (path.find('%') != std::string_view::npos || path.find("/..") != std::string_view::npos ||
      path.find("/./") != std::string_view::npos) {
    return fmt::format("\"{}\" with an encoded or relative path", safe);
  }
  return std::nullopt;
}

}  // namespace

Found check_amqp_url(std::string_view text) {
  return check_url(text, {.scheme = "amqp", .tls_scheme = "amqps", .path = false});
}

Found check_http_url(std::string_view text) {
  return check_url(text, {.scheme = "http", .tls_scheme = "https", .path = true});
}

Found check_host(std::string_view text) {
  if (text.find_first_of("/?#@") != std::string_view::npos) {
    return fmt::format("\"{}\"", shown(text.find('@') == std::string_view::npos ? text : "***"));
  }
  return check_url(fmt::format("amqp://{}", text), {.scheme = "amqp", .tls_scheme = "amqps", .path = false});
}

}  // namespace sluice::pool
