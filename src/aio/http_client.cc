// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <array>
#include <charconv>
#include <list>

#include "aio/dial.h"
#include "aio/dns.h"
#include "aio/http.h"
#include "aio/http_parse.h"
#include "aio/stream.h"
#include "aio/url.h"

namespace sluice::aio::http {
namespace {

// A connection that answered and may be asked again.
struct Kept {
  std::string base;
  std::unique_ptr<Stream> stream;
  Time until;
};

struct Exchange {
  Result<Response> response;
  bool untouched = true;  // not one byte of an answer came
  bool reusable = false;
};

// How long the server says it keeps the connection, a second less for what is on its way.
Duration keep_time(const Response& response, Duration longest) {
  constexpr std::string_view key = "timeout=";
  for (const std::string& item : field_items(header(response.headers, "Keep-Alive").value_or(""))) {
    std::uint32_t seconds = 0;
    if (item.starts_with(key) &&
        std::from_chars(item.data() + key.size(), item.data() + item.size(), seconds).ec == std::errc()) {
      return std::min(longest, Duration{std::chrono::seconds{seconds > 0 ? seconds - 1 : 0}});
    }
  }
  return longest;
}

// Writes the request and reads the answer. A failed write is not the end yet: a server that refuses a body early has
// sent its reason before it closed.
Task<Exchange> run_exchange(Stream& stream, std::string_view bytes, Parser parser, Deadline deadline) {
  Exchange out{.response = Error{Code::retry, "closed without an answer"}};
  const Result<void> sent = co_await stream.write_all(bytes, deadline);
  std::array<char, 16384> buffer;
  while (!parser.done()) {
    const Result<std::size_t> n = co_await stream.read_some(buffer, deadline);
    if (!n || (*n == 0 && !sent)) {
      out.response = sent ? n.error() : sent.error();
      co_return out;
    }
    out.untouched = out.untouched && *n == 0;
    if (*n == 0) {
      if (out.untouched) {
        co_return out;
      }
      if (const std::optional<Refusal> cut = parser.finish()) {
        out.response = Error{Code::retry, "the answer was cut off"};
        co_return out;
      }
      break;
    }
    const std::expected<std::size_t, Refusal> used = parser.feed(std::string_view(buffer.data(), *n));
    if (!used) {
      out.response = Error{Code::invalid, "not an answer in HTTP/1.1: " + used.error().what};
      co_return out;
    }
    // Bytes after the answer belong to nothing that was asked.
    out.reusable = parser.done() && parser.keep_alive() && sent && *used == *n;
  }
  out.response = parser.take_response();
  co_return out;
}

Result<Url> parse_base(const std::string& text) {
  Result<Url> url = parse_url(text);
  if (url && url->target != "/") {
    return Error{Code::invalid, "a base URL ends with the port; path and query belong in the request"};
  }
  return url;
}

}  // namespace

struct Client::Impl {
  Impl(Loop& l, Clock& c, ClientOptions o) : loop(l), clock(c), options(std::move(o)), resolver(l, c) {}

  std::unique_ptr<Stream> take_kept(const std::string& base);
  void keep(const std::string& base, std::unique_ptr<Stream> stream, Duration longest);
  Task<Result<std::unique_ptr<Stream>>> connect(Url url, Deadline deadline);
  Task<Result<std::unique_ptr<Stream>>> dial(Url url, Deadline deadline);
  Task<Result<Response>> send(Url url, Request request, Deadline deadline);

  Loop& loop;
  Clock& clock;
  ClientOptions options;
  Resolver resolver;
  std::optional<Result<TlsContext>> tls;  // made for the first https URL
  std::list<Kept> kept;                   // least recently used first
};

std::unique_ptr<Stream> Client::Impl::take_kept(const std::string& base) {
  const Time now = clock.now();
  std::erase_if(kept, [now](const Kept& k) { return k.until <= now; });
  for (auto it = kept.end(); it != kept.begin();) {
    if ((--it)->base == base) {
      std::unique_ptr<Stream> stream = std::move(it->stream);
      it = kept.erase(it);
      if (stream->quiet()) {
        return stream;
      }
    }
  }
  return nullptr;
}

void Client::Impl::keep(const std::string& base, std::unique_ptr<Stream> stream, Duration longest) {
  if (options.idle_connections_max == 0 || longest <= Duration{0}) {
    return;
  }
  if (kept.size() >= options.idle_connections_max) {
    kept.pop_front();
  }
  kept.push_back(Kept{base, std::move(stream), clock.now() + longest});
}

Task<Result<std::unique_ptr<Stream>>> Client::Impl::connect(Url url, Deadline deadline) {
  if (url.scheme == Url::Scheme::unix_socket) {
    const Result<SocketAddress> address = unix_address(url.host);
    if (!address) {
      co_return address.error();
    }
    Result<std::unique_ptr<Stream>> made = co_await connect_stream(loop, clock, *address, deadline);
    co_return made;
  }
  Result<std::unique_ptr<Stream>> made = co_await aio::dial(loop, clock, resolver, url.host, url.port, deadline);
  co_return made;
}

Task<Result<std::unique_ptr<Stream>>> Client::Impl::dial(Url url, Deadline deadline) {
  Task<Result<std::unique_ptr<Stream>>> making = options.dial ? options.dial(url, deadline) : connect(url, deadline);
  Result<std::unique_ptr<Stream>> made = co_await std::move(making);
  if (!made || url.scheme != Url::Scheme::https) {
    co_return made;
  }
  if (!tls) {
    tls = TlsContext::client(options.tls);
  }
  if (!*tls) {
    co_return tls->error();
  }
  const std::string name = options.tls.server_name.empty() ? url.host : options.tls.server_name;
  made = co_await tls_connect(clock, std::move(*made), **tls, name, deadline);
  co_return made;
}

Task<Result<Response>> Client::Impl::send(Url url, Request request, Deadline deadline) {
  const Result<std::string> bytes = format_request(request, url.host_field());
  if (!bytes) {
    co_return bytes.error();
  }
  const ParseLimits limits{.body_max = options.body_max};
  const std::string base = url.base();
  std::unique_ptr<Stream> stream = take_kept(base);
  while (true) {
    const bool fresh = stream == nullptr;
    if (fresh) {
      Result<std::unique_ptr<Stream>> made = co_await dial(url, deadline);
      if (!made) {
        co_return made.error();
      }
      stream = std::move(*made);
    }
    Parser parser = Parser::of_response(limits, request.method);
    Exchange exchange = co_await run_exchange(*stream, *bytes, std::move(parser), deadline);
    // The server closed a kept connection while the request was on its way. Sent once more where that can do no harm.
    const bool again = !fresh && !exchange.response && exchange.untouched && !deadline.passed(clock.now()) &&
                       (request.method == "GET" || request.method == "HEAD");
    if (again) {
      stream.reset();
      continue;
    }
    if (exchange.reusable) {
      const Duration longest = keep_time(*exchange.response, options.idle_max);
      keep(base, std::move(stream), longest);
    }
    co_return std::move(exchange.response);
  }
}

Client::Client(Loop& loop, Clock& clock, ClientOptions options)
    : impl_(std::make_unique<Impl>(loop, clock, std::move(options))) {}

Client::~Client() = default;

Task<Result<void>> Client::reach(std::string base_url, Deadline deadline) {
  const Result<Url> url = parse_base(base_url);
  if (!url) {
    co_return url.error();
  }
  std::unique_ptr<Stream> stream = impl_->take_kept(url->base());
  if (stream == nullptr) {
    Result<std::unique_ptr<Stream>> made = co_await impl_->dial(*url, deadline);
    if (!made) {
      co_return made.error().in(url->base());
    }
    stream = std::move(*made);
  }
  impl_->keep(url->base(), std::move(stream), impl_->options.idle_max);
  co_return Result<void>{};
}

Task<Result<Response>> Client::send(std::string base_url, Request request, Deadline deadline) {
  const Result<Url> url = parse_base(base_url);
  if (!url) {
    co_return url.error();
  }
  // Path without the query, which may hold what is not for logs.
  const std::string path = request.target.substr(0, std::min<std::size_t>(request.target.find('?'), 200));
  const std::string where = fmt::format("{} {}{}", request.method, url->base(), path == "/" ? "" : path);
  Result<Response> response = co_await impl_->send(*url, std::move(request), deadline);
  if (!response) {
    co_return response.error().in(where);
  }
  co_return response;
}

}  // namespace sluice::aio::http
