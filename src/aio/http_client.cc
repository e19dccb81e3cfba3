// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <array>
#include <charconv>
#include <limits>
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

// One request and its answer, as far as it has come.
struct Exchange {
  Exchange(std::unique_ptr<Stream> s, Parser p) : stream(std::move(s)), parser(std::move(p)) {}
  std::unique_ptr<Stream> stream;
  Parser parser;
  // A failed write is not the end yet: a server that refuses a body early has sent its reason before it closed.
  Result<void> sent = {};
  bool untouched = true;  // not one byte of an answer came
  bool reusable = false;  // the answer is whole, and another may follow
};

// How long the server says it keeps the connection, a second less for what is on its way.
Duration keep_time(const HeaderList& headers, Duration longest) {
  constexpr std::string_view key = "timeout=";
  for (const std::string& item : field_items(header(headers, "Keep-Alive").value_or(""))) {
    std::uint32_t seconds = 0;
    if (item.starts_with(key) &&
        std::from_chars(item.data() + key.size(), item.data() + item.size(), seconds).ec == std::errc()) {
      return std::min(longest, Duration{std::chrono::seconds{seconds > 0 ? seconds - 1 : 0}});
    }
  }
  return longest;
}

// Reads once. An Error is the end of the connection.
Task<Result<void>> advance(Exchange& exchange, Deadline deadline) {
  std::array<char, 16384> buffer;
  const Result<std::size_t> n = co_await exchange.stream->read_some(buffer, deadline);
  if (!n || (*n == 0 && !exchange.sent)) {
    co_return exchange.sent ? n.error() : exchange.sent.error();
  }
  exchange.untouched = exchange.untouched && *n == 0;
  if (exchange.untouched) {
    co_return Error{Code::retry, "closed without an answer"};
  }
  if (*n == 0) {
    co_return exchange.parser.finish() ? Result<void>(Error{Code::retry, "the answer was cut off"}) : Result<void>{};
  }
  const std::expected<std::size_t, Refusal> used = exchange.parser.feed(std::string_view(buffer.data(), *n));
  if (!used) {
    co_return Error{Code::invalid, "not an answer in HTTP/1.1: " + used.error().what};
  }
  // Bytes after the answer belong to nothing that was asked.
  exchange.reusable = exchange.parser.done() && exchange.parser.keep_alive() && exchange.sent && *used == *n;
  co_return Result<void>{};
}

Result<Url> parse_base(const std::string& text) {
  Result<Url> url = parse_url(text);
  if (url && url->target != "/") {
    return Error{Code::invalid, "a base URL ends with the port; path and query belong in the request"};
  }
  return url;
}

// Path without the query, which may hold what is not for logs.
std::string place(const Url& url, const Request& request) {
  const std::string path = request.target.substr(0, std::min<std::size_t>(request.target.find('?'), 200));
  return fmt::format("{} {}{}", request.method, url.base(), path == "/" ? "" : path);
}

enum class Until { head, end };

}  // namespace

struct Client::Impl {
  Impl(Loop& l, Clock& c, ClientOptions o) : loop(l), clock(c), options(std::move(o)), resolver(l, c) {}

  std::unique_ptr<Stream> take_kept(const std::string& base);
  void keep(const std::string& base, std::unique_ptr<Stream> stream, Duration longest);
  Task<Result<std::unique_ptr<Stream>>> connect(Url url, Deadline deadline);
  Task<Result<std::unique_ptr<Stream>>> dial(Url url, Deadline deadline);
  // Sends the request and reads until then, on another connection where the first turns out to be closed.
  Task<Result<Exchange>> exchange(Url url, Request request, ParseLimits limits, Until until, Deadline deadline);
  // The connection, after an answer that was read to its end.
  void give_back(const std::string& base, Exchange& exchange);

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

Task<Result<Exchange>> Client::Impl::exchange(Url url, Request request, ParseLimits limits, Until until,
                                              Deadline deadline) {
  const Result<std::string> bytes = format_request(request, url.host_field());
  if (!bytes) {
    co_return bytes.error();
  }
  std::unique_ptr<Stream> stream = take_kept(url.base());
  while (true) {
    const bool fresh = stream == nullptr;
    if (fresh) {
      Result<std::unique_ptr<Stream>> made = co_await dial(url, deadline);
      if (!made) {
        co_return made.error();
      }
      stream = std::move(*made);
    }
    Exchange exchange(std::move(stream), Parser::of_response(limits, request.method));
    exchange.sent = co_await exchange.stream->write_all(*bytes, deadline);
    Result<void> read;
    while (read && !(until == Until::head ? exchange.parser.head_done() : exchange.parser.done())) {
      read = co_await advance(exchange, deadline);
    }
    // The server closed a kept connection while the request was on its way. Sent once more where that can do no harm.
    const bool again = !fresh && !read && exchange.untouched && !deadline.passed(clock.now()) &&
                       (request.method == "GET" || request.method == "HEAD");
    if (!again) {
      co_return read ? Result<Exchange>(std::move(exchange)) : read.error();
    }
  }
}

void Client::Impl::give_back(const std::string& base, Exchange& exchange) {
  if (exchange.reusable) {
    keep(base, std::move(exchange.stream), keep_time(exchange.parser.headers(), options.idle_max));
  }
}

Client::Client(Loop& loop, Clock& clock, ClientOptions options)
    : impl_(std::make_shared<Impl>(loop, clock, std::move(options))) {}

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
  const std::string where = place(*url, request);
  const ParseLimits limits{.body_max = impl_->options.body_max};
  Result<Exchange> exchange = co_await impl_->exchange(*url, std::move(request), limits, Until::end, deadline);
  if (!exchange) {
    co_return exchange.error().in(where);
  }
  impl_->give_back(url->base(), *exchange);
  co_return exchange->parser.take_response();
}

struct Incoming::Impl {
  std::shared_ptr<Client::Impl> client;
  std::string base;
  std::string where;
  Exchange exchange;
  bool over = false;
};

Incoming::Incoming(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Incoming::~Incoming() = default;

int Incoming::status() const {
  return impl_->exchange.parser.status();
}

const HeaderList& Incoming::headers() const {
  return impl_->exchange.parser.headers();
}

Task<Result<std::string>> Incoming::next(Deadline deadline) {
  Exchange& exchange = impl_->exchange;
  std::string bytes = exchange.parser.take_body();
  while (bytes.empty() && !impl_->over && !exchange.parser.done()) {
    const Result<void> read = co_await advance(exchange, deadline);
    if (!read) {
      impl_->over = true;
      exchange.stream.reset();
      co_return read.error().in(impl_->where);
    }
    bytes = exchange.parser.take_body();
  }
  if (exchange.parser.done() && !std::exchange(impl_->over, true)) {
    impl_->client->give_back(impl_->base, exchange);
  }
  co_return bytes;
}

Task<Result<std::unique_ptr<Incoming>>> Client::open(std::string base_url, Request request, Deadline deadline) {
  const Result<Url> url = parse_base(base_url);
  if (!url) {
    co_return url.error();
  }
  const std::string where = place(*url, request);
  const ParseLimits limits{.body_max = std::numeric_limits<std::size_t>::max()};
  Result<Exchange> exchange = co_await impl_->exchange(*url, std::move(request), limits, Until::head, deadline);
  if (!exchange) {
    co_return exchange.error().in(where);
  }
  co_return std::unique_ptr<Incoming>(new Incoming(
      std::unique_ptr<Incoming::Impl>(new Incoming::Impl{impl_, url->base(), where, std::move(*exchange)})));
}

}  // namespace sluice::aio::http
