// SPDX-License-Identifier: Apache-2.0
#pragma once
// HTTP/1.1 as values: a client that keeps connections, a server with limits. The bytes are http_parse.h's business, the
// connection is a Stream's.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "aio/tls.h"
#include "base/result.h"

namespace sluice::aio {
struct Url;
}  // namespace sluice::aio

namespace sluice::aio::http {

using HeaderList = std::vector<std::pair<std::string, std::string>>;  // names as written; compared ignoring case
[[nodiscard]] std::optional<std::string_view> header(const HeaderList& headers, std::string_view name);
// Retry-After in seconds, as they are written. Its other form, a date, is not taken: the two clocks would have to
// agree.
[[nodiscard]] std::optional<std::chrono::seconds> retry_after(const HeaderList& headers);

struct Request {
  std::string method = "GET";
  std::string target = "/";
  HeaderList headers = {};
  std::string body = {};
};

struct Response {
  int status = 200;
  HeaderList headers = {};
  std::string body = {};
};

// Makes the connection under an exchange, TLS not included. Cancel-safe.
using Dial = std::function<Task<Result<std::unique_ptr<Stream>>>(Url, Deadline)>;

struct ClientOptions {
  TlsOptions tls = {};                    // for https URLs
  std::size_t body_max = 16U << 20U;      // chosen: a page of 500 Jobs is 5 MB
  std::size_t idle_connections_max = 32;  // kept open in all
  // Longest rest of a connection that is used again. Chosen: servers close after 5 s (node) to 75 s (nginx); a
  // Keep-Alive field of the answer shortens it.
  Duration idle_max = std::chrono::seconds{15};
  Dial dial = {};  // empty: by name, address or path of a socket
};

// An answer whose body is taken as it comes: a list too large to keep, a watch that never ends. May outlive its Client.
class Incoming {
 public:
  ~Incoming();  // before its end this closes the connection
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;
  [[nodiscard]] int status() const;
  [[nodiscard]] const HeaderList& headers() const;
  // The next bytes of the body, as few as one; none at its end. Code::retry when it was cut off or nothing came by the
  // deadline, invalid when it is not HTTP: after an error there is no more.
  [[nodiscard]] Task<Result<std::string>> next(Deadline deadline);

 private:
  friend class Client;
  struct Impl;
  explicit Incoming(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class Client {
 public:
  Client(Loop& loop, Clock& clock, ClientOptions options);
  ~Client();
  // One exchange with "http://host:port", "https://host:port" or "unix:/path/of/socket"; never follows a redirect. Any
  // status is a Response. Error codes: retry (unreachable, cut off, deadline), invalid (not a URL, answer is not HTTP
  // or beyond a limit), denied (certificate). The error names the host, never credentials. An exchange on a kept
  // connection that was closed before the first byte of the answer is sent once more on a new one, for GET and HEAD
  // alone.
  [[nodiscard]] Task<Result<Response>> send(std::string base_url, Request request, Deadline deadline);
  // The same up to the end of the head, by the deadline. The body may be of any length.
  [[nodiscard]] Task<Result<std::unique_ptr<Incoming>>> open(std::string base_url, Request request, Deadline deadline);
  // Makes sure that a connection stands, which the next send() takes. Tells a server that nobody reaches from one that
  // got the request and broke. Errors as above.
  [[nodiscard]] Task<Result<void>> reach(std::string base_url, Deadline deadline);

 private:
  friend class Incoming;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Chosen so that neither slow nor greedy clients keep others from being answered.
struct ServerLimits {
  Duration header_timeout = std::chrono::seconds{5};    // from the connection or the first byte to the end of the head
  Duration request_timeout = std::chrono::seconds{30};  // from the first byte to the last byte of the answer
  Duration idle_timeout = std::chrono::seconds{60};     // between two requests
  std::size_t header_max = 16U << 10U;
  std::size_t fields_max = 64;
  std::size_t body_max = 64U << 10U;
  // Beyond these the connection that has waited longest without a complete request makes room.
  std::size_t connections_max = 512;
  std::size_t connections_per_peer_max = 64;  // by IP address
  // Of answers on their way, all connections together, so that clients that ask and do not read cost no memory; one
  // alone may be larger. Beyond it the answer is 503.
  std::size_t answers_bytes_max = 32U << 20U;
};

// Answers one request. Never throws (cancellation apart).
using Handler = std::function<Task<Response>(Request)>;

// A connection that is ready for requests.
struct Greeted {
  std::unique_ptr<Stream> stream;
  Handler handler = {};  // of this connection; empty: the server's
};
// What is done with a connection before its first request: a TLS handshake. Empty: it is closed. Until it returns the
// connection counts as one that waits for a request, and may have to make room.
using Greet = std::function<Task<std::optional<Greeted>>(std::unique_ptr<Stream>, Deadline)>;

class Server {
 public:
  Server(Loop& loop, Clock& clock, Handler handler, ServerLimits limits);
  ~Server();
  // Port 0 takes a free one; returns the port. Code::conflict when it is taken. Without `greet` requests come as they
  // are.
  [[nodiscard]] Result<std::uint16_t> listen_tcp(const std::string& address, std::uint16_t port, Greet greet = {});
  // Replaces a dead socket file. Paths longer than a socket address allows are reached through /proc/self/fd.
  [[nodiscard]] Result<void> listen_unix(const std::string& path);
  // Serves what was listened to, until cancelled; then open exchanges are cut.
  [[nodiscard]] Task<void> run();
  // From now on each connection ends with the answer to the request that it has, or at once: for the time between the
  // word that we leave and the end. Those that come later are answered still.
  void wind_down();
  // Serves one connection made elsewhere (TLS, memory) until it ends. `peer` is what its limit is counted by; empty:
  // none.
  [[nodiscard]] Task<void> serve(std::unique_ptr<Stream> stream, std::string peer);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::aio::http
