// SPDX-License-Identifier: Apache-2.0
#pragma once
// RabbitMQ's statistics over HTTP: what a passive declare does not say of a queue, read for all queues of one virtual
// host together and kept with their age.
//
// Reading goes on in the background: who asks gets what is known at once, so that a management API that hangs neither
// delays nor fails the count of ready messages. Everything it cannot give stays unknown, with a reason.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/http.h"
#include "aio/loop.h"
#include "aio/tls.h"
#include "queue/rabbit/connection.h"
#include "queue/rabbit/statistics.h"

namespace sluice::queue::rabbit {

// Where statistics are asked for.
struct ManagementPlace {
  std::string base;      // http://host:port
  std::string prefix;    // of the path, without a slash at its end: "", or as management.path_prefix says
  bool metrics = false;  // /metrics/detailed of rabbitmq_prometheus instead of the management API
  // For people and errors.
  [[nodiscard]] std::string text() const { return base + prefix; }
  friend bool operator==(const ManagementPlace&, const ManagementPlace&) = default;
};
// "http://host:15672", the same with https, with the API's path prefix, or with /api behind it: the management API.
// "http://host:15692/metrics/detailed" (or /metrics): the metrics of rabbitmq_prometheus, which need no login, cost the
// broker far less where there are thousands of queues, and know neither the age of a message nor the type of a queue.
[[nodiscard]] Result<ManagementPlace> parse_management_url(std::string_view url);

struct ManagementOptions {
  ManagementPlace place;
  std::string vhost = "/";
  // Both read anew after every failure. The login goes to `place` alone, and never to where a redirect points.
  std::function<Result<Login>()> login = [] { return Result<Login>(Login{}); };
  std::function<Result<aio::TlsOptions>()> tls = [] { return Result<aio::TlsOptions>(aio::TlsOptions{}); };
  aio::http::Dial dial = {};  // empty: by name or address
};

class Management {
 public:
  // What was last said of one queue.
  struct Told {
    QueueStatistics statistics;
    // Not before this. RabbitMQ's queues hand in their figures every 5 s (collect_statistics_interval), and the
    // management database takes them over every 5 s: what it shows is up to 10 s old (measured: 2 to 9 s), what
    // /metrics/detailed shows up to 5 s. No field of an answer says how old it is, so it is taken to be as old as that.
    Time observed_at;
    WallTime observed_wall;
    std::int64_t reading = 0;  // counts the answers that were read
  };
  struct Answer {
    std::optional<Told> told;
    std::string missing;  // why there is nothing newer or nothing at all; empty: all is well
  };

  // References outlive it, and what it reads in the background ends within 10 s after it.
  Management(aio::Loop& loop, aio::Clock& clock, ManagementOptions options);
  ~Management();
  Management(const Management&) = delete;
  Management& operator=(const Management&) = delete;

  // Makes sure that the queue is among those that are read, every 5 s or, where reading takes long, in a tenth of the
  // time; returns what is known. Waits at most a second, and only for the first reading of all.
  [[nodiscard]] aio::Task<Answer> about(std::string queue, aio::Deadline deadline);

  // Who consumes, as of some seconds ago; asked for now. Errors name the URL, the status and the field; denied: the
  // login, a missing tag, with the command that gives it.
  [[nodiscard]] aio::Task<Result<std::vector<Consumer>>> consumers(std::string queue, aio::Deadline deadline);

  // The body of the answer to a GET of `target` (/api/..), asked for now. Errors as above.
  [[nodiscard]] aio::Task<Result<std::string>> get(std::string target, aio::Deadline deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::queue::rabbit
