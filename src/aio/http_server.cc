// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/system/system_error.hpp>
#include <list>

#include "aio/http.h"
#include "aio/http_parse.h"
#include "aio/listen.h"
#include "aio/stream.h"
#include "aio/task_group.h"

namespace sluice::aio::http {
namespace {

// What a refused client may still send before its connection is closed: closing on unread bytes resets the connection,
// and the answer that says why is lost with it. Chosen.
constexpr Duration linger = std::chrono::seconds{1};
constexpr std::size_t linger_bytes = 256U << 10U;
// Pause after a connection could not be accepted (out of descriptors): nothing in the kernel says when to try again.
constexpr Duration accept_pause = std::chrono::milliseconds{100};

// A part of a sum for as long as it lives.
class Held {
 public:
  Held(std::size_t& sum, std::size_t part) : sum_(sum), part_(part) { sum_ += part_; }
  ~Held() { sum_ -= part_; }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  std::size_t& sum_;
  std::size_t part_;
};

// A stream that can still be cut by who gave it away.
class Lent final : public Stream {
 public:
  explicit Lent(std::shared_ptr<Stream> below) : below_(std::move(below)) {}
  Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) override {
    return below_->read_some(into, deadline);
  }
  Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) override {
    return below_->write_all(bytes, deadline);
  }
  std::size_t write_now(std::string_view bytes) override { return below_->write_now(bytes); }
  Task<Result<void>> end_writing(Deadline deadline) override { return below_->end_writing(deadline); }
  bool quiet() override { return below_->quiet(); }
  void cut() override { below_->cut(); }

 private:
  std::shared_ptr<Stream> below_;
};

Task<void> answer(const Handler& handler, Request request, std::optional<Response>& out) {
  out = co_await handler(std::move(request));
}

}  // namespace

struct Server::Impl {
  struct Connection {
    std::shared_ptr<Stream> socket;  // under what is spoken on it
    std::string peer;
    Time since;  // it waits for a request since then
    const Handler* handler = nullptr;
    std::unique_ptr<Stream> stream = {};
    bool busy = false;  // a whole request is there
    bool out = false;   // had to make room
  };
  struct Reader;

  Impl(Loop& l, Clock& c, Handler h, ServerLimits m) : loop(l), clock(c), handler(std::move(h)), limits(m) {}

  bool make_room(const std::string& peer);
  Task<void> accept_on(int listener, const Greet& greet, TaskGroup& group);
  Task<void> serve(std::unique_ptr<Stream> stream, std::string peer, const Greet& greet);
  Task<void> greet_and_serve(Connection& connection, const Greet& greet);
  Task<void> serve_requests(Connection& connection);
  Task<Response> handle(const Handler& how, Request request, Deadline deadline);
  Task<Result<void>> reply(Connection& connection, Response response, bool keep, bool head, Deadline deadline);
  Task<bool> receive(Reader& reader);
  Task<void> reply_and_close(Connection& connection, Response response, Deadline deadline);

  Loop& loop;
  Clock& clock;
  Handler handler;
  ServerLimits limits;
  struct Tcp {
    TcpListener listener;
    Greet greet;
  };
  std::list<Tcp> tcp;
  std::list<UnixListener> local;
  std::list<Connection*> connections;
  std::size_t answering = 0;  // bytes of answers on their way
  bool leaving = false;
};

// One request on its way in.
struct Server::Impl::Reader {
  Connection& connection;
  std::array<char, 8192>& buffer;
  std::string_view& rest;  // read but not parsed yet: the next request of a pipeline
  Parser parser;
  Deadline first_byte;  // until then it must begin
  Deadline head;
  Deadline whole;
  bool continued = false;
};

// Whether one more connection fits. The one that has waited longest for its request to be complete is cut for it: a
// slow or idle client never keeps another from being answered.
bool Server::Impl::make_room(const std::string& peer) {
  const auto counts = [&](const Connection* c) { return !c->out && (peer.empty() || c->peer == peer); };
  const auto evict = [&](bool same_peer) {
    Connection* victim = nullptr;
    for (Connection* c : connections) {
      if (!c->out && !c->busy && (!same_peer || c->peer == peer) && (victim == nullptr || c->since < victim->since)) {
        victim = c;
      }
    }
    if (victim != nullptr) {
      victim->out = true;
      victim->socket->cut();
    }
    return victim != nullptr;
  };
  const auto all = std::ranges::count_if(connections, [](const Connection* c) { return !c->out; });
  if (!peer.empty() &&
      std::cmp_greater_equal(std::ranges::count_if(connections, counts), limits.connections_per_peer_max)) {
    return evict(true);
  }
  return std::cmp_less(all, limits.connections_max) || evict(false);
}

Task<void> Server::Impl::accept_on(int listener, const Greet& greet, TaskGroup& group) {
  Watch watch(loop, clock, listener);
  while (true) {
    Result<Accepted> next = accept_one(listener);
    if (next) {
      group.spawn(serve(socket_stream(loop, clock, std::move(next->socket)), std::move(next->peer), greet));
    } else if (next.error().code == Code::gone) {
      co_await watch.readable(Deadline{});
    } else {
      co_await clock.sleep_for(accept_pause);
    }
  }
}

Task<void> Server::Impl::serve(std::unique_ptr<Stream> stream, std::string peer, const Greet& greet) {
  if (!make_room(peer)) {
    co_return;  // everybody is at work for somebody: closed without a word, which costs us least
  }
  Connection connection{
      .socket = std::move(stream), .peer = std::move(peer), .since = clock.now(), .handler = &handler};
  const auto place = connections.insert(connections.end(), &connection);
  std::exception_ptr failure;
  try {
    co_await greet_and_serve(connection, greet);
  } catch (...) {
    failure = std::current_exception();
  }
  connections.erase(place);
  if (failure) {
    std::rethrow_exception(failure);
  }
}

Task<void> Server::Impl::greet_and_serve(Connection& connection, const Greet& greet) {
  std::optional<Greeted> greeted = Greeted{.stream = std::make_unique<Lent>(connection.socket)};
  if (greet) {
    const Deadline deadline = clock.in(limits.header_timeout);
    greeted = co_await greet(std::move(greeted->stream), deadline);
  }
  if (!greeted || connection.out) {
    co_return;
  }
  connection.stream = std::move(greeted->stream);
  connection.handler = greeted->handler ? &greeted->handler : connection.handler;
  co_await serve_requests(connection);
}

Task<void> Server::Impl::serve_requests(Connection& connection) {
  const ParseLimits parse{.head_max = limits.header_max, .fields_max = limits.fields_max, .body_max = limits.body_max};
  std::array<char, 8192> buffer{};
  std::string_view rest;
  Deadline first_byte = clock.in(limits.header_timeout);
  while (true) {
    Reader reader{connection, buffer, rest, Parser::of_request(parse), first_byte, {}, {}};
    const bool received = co_await receive(reader);
    if (!received) {
      co_return;
    }
    connection.busy = true;
    Request request = reader.parser.take_request();
    const bool head = request.method == "HEAD";
    Response response = co_await handle(*connection.handler, std::move(request), reader.whole);
    // The time for the whole includes the answer; a handler that used it all up leaves a moment to say so.
    const Deadline deadline{std::max(reader.whole.at, clock.now() + linger)};
    const bool keep = reader.parser.keep_alive() && !leaving;
    const Result<void> sent = co_await reply(connection, std::move(response), keep, head, deadline);
    if (sent && !keep) {
      const Result<void> ended = co_await connection.stream->end_writing(deadline);
    }
    if (!sent || !keep || leaving) {
      co_return;
    }
    connection.busy = false;
    connection.since = clock.now();
    first_byte = clock.in(limits.idle_timeout);
  }
}

Task<Result<void>> Server::Impl::reply(Connection& connection, Response response, bool keep, bool head,
                                       Deadline deadline) {
  if (answering > 0 && answering + response.body.size() > limits.answers_bytes_max) {
    response = Response{.status = 503,
                        .headers = {{"Content-Type", "text/plain; charset=utf-8"}, {"Retry-After", "1"}},
                        .body = "too many answers are on their way\n"};
  }
  const std::string bytes = format_response(response, keep, head);
  response = {};
  const Held held(answering, bytes.size());
  const Result<void> sent = co_await connection.stream->write_all(bytes, deadline);
  co_return sent;
}

// Reads until the request is complete. False when there is none: the client left, was refused or was too slow.
Task<bool> Server::Impl::receive(Reader& reader) {
  Stream& stream = *reader.connection.stream;
  while (!reader.parser.done()) {
    if (!reader.rest.empty()) {
      if (!reader.parser.started()) {
        reader.head = clock.in(limits.header_timeout);
        reader.whole = clock.in(limits.request_timeout);
      }
      const std::expected<std::size_t, Refusal> used = reader.parser.feed(reader.rest);
      if (!used) {
        Response refusal{.status = used.error().status, .headers = {}, .body = used.error().what + "\n"};
        co_await reply_and_close(reader.connection, std::move(refusal), reader.whole);
        co_return false;
      }
      reader.rest.remove_prefix(*used);
      continue;
    }
    if (reader.parser.head_done() && reader.parser.expects_continue() && !std::exchange(reader.continued, true)) {
      const Result<void> sent = co_await stream.write_all("HTTP/1.1 100 Continue\r\n\r\n", reader.whole);
      if (!sent) {
        co_return false;
      }
    }
    const Deadline deadline = !reader.parser.started()     ? reader.first_byte
                              : !reader.parser.head_done() ? reader.head.earlier(reader.whole)
                                                           : reader.whole;
    const Result<std::size_t> n = co_await stream.read_some(reader.buffer, deadline);
    if (!n && reader.parser.started() && deadline.passed(clock.now())) {
      Response late{.status = 408, .headers = {}, .body = "the request took too long\n"};
      co_await reply_and_close(reader.connection, std::move(late), clock.in(linger));
    }
    if (!n || *n == 0) {
      co_return false;
    }
    reader.rest = std::string_view(reader.buffer.data(), *n);
  }
  co_return true;
}

Task<void> Server::Impl::reply_and_close(Connection& connection, Response response, Deadline deadline) {
  response.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
  const std::string bytes = format_response(response, false, false);
  Stream& stream = *connection.stream;
  const Result<void> sent = co_await stream.write_all(bytes, deadline);
  if (!sent) {
    co_return;
  }
  const Deadline end = clock.in(linger);
  const Result<void> ended = co_await stream.end_writing(end);
  std::array<char, 4096> ignored;
  for (std::size_t taken = 0; ended && taken < linger_bytes;) {
    const Result<std::size_t> n = co_await stream.read_some(ignored, end);
    if (!n || *n == 0) {
      co_return;
    }
    taken += *n;
  }
}

// The handler runs as a task of its own, so that it ends at the deadline wherever it waits.
Task<Response> Server::Impl::handle(const Handler& how, Request request, Deadline deadline) {
  std::optional<Response> response;
  TaskGroup group(loop, clock);
  group.spawn(answer(how, std::move(request), response));
  bool failed = false;
  try {
    co_await group.join_or_cancel(deadline);
  } catch (const boost::system::system_error& e) {
    if (e.code() == boost::system::errc::operation_canceled) {
      throw;
    }
    failed = true;
  } catch (const std::exception&) {
    failed = true;  // a handler that breaks its promise costs its own request, not the server
  }
  if (failed) {
    co_return Response{.status = 500, .headers = {}, .body = {}};
  }
  if (!response) {
    co_return Response{.status = 503, .headers = {}, .body = {}};
  }
  co_return std::move(*response);
}

Server::Server(Loop& loop, Clock& clock, Handler handler, ServerLimits limits)
    : impl_(std::make_unique<Impl>(loop, clock, std::move(handler), limits)) {}

Server::~Server() = default;

Result<std::uint16_t> Server::listen_tcp(const std::string& address, std::uint16_t port, Greet greet) {
  Result<TcpListener> listener = aio::listen_tcp(address, port);
  if (!listener) {
    return listener.error();
  }
  impl_->tcp.push_back({.listener = std::move(*listener), .greet = std::move(greet)});
  return impl_->tcp.back().listener.port;
}

Result<void> Server::listen_unix(const std::string& path) {
  Result<UnixListener> listener = UnixListener::listen(path);
  if (!listener) {
    return listener.error();
  }
  impl_->local.push_back(std::move(*listener));
  return {};
}

Task<void> Server::run() {
  TaskGroup group(impl_->loop, impl_->clock);
  const Greet none;
  for (const Impl::Tcp& one : impl_->tcp) {
    group.spawn(impl_->accept_on(one.listener.socket.get(), one.greet, group));
  }
  for (const UnixListener& listener : impl_->local) {
    group.spawn(impl_->accept_on(listener.get(), none, group));
  }
  co_await group.join();
}

void Server::wind_down() {
  impl_->leaving = true;
  for (Impl::Connection* const connection : impl_->connections) {
    if (!connection->busy && connection->stream) {
      connection->socket->cut();
    }
  }
}

Task<void> Server::serve(std::unique_ptr<Stream> stream, std::string peer) {
  static const Greet none;
  return impl_->serve(std::move(stream), std::move(peer), none);
}

}  // namespace sluice::aio::http
